import { expect, test } from 'vitest'
import { Failure } from '../failure.ts'
import { describeChanges, readListenOptions } from './change-options.ts'

/** `--changes todos --event insert` as what the command line gives. */
function given(line: string): { name: string; value: string }[] {
  return [...line.matchAll(/--(\w+) (\S+)/g)].map(([, name, value]) => ({ name: name!, value: value! }))
}

test('what stands behind a --changes belongs to it, an --event before them to broadcasts', () => {
  const line = '--event hello --changes todos --filter id=gt.5 --event insert --changes app.users --select id,name --changes app.*'
  const read = readListenOptions(given(line))
  expect(read).toEqual({
    broadcastEvent: 'hello',
    changes: [
      { event: 'INSERT', schema: 'public', table: 'todos', filter: 'id=gt.5' },
      { event: '*', schema: 'app', table: 'users', select: ['id', 'name'] },
      { event: '*', schema: 'app' },
    ],
  })
  expect(read.changes.map(describeChanges)).toEqual(['INSERT of public.todos where id=gt.5', 'app.users (id, name)', 'app.*'])
})

test('names with dots stand in quotes', () => {
  expect(readListenOptions([{ name: 'changes', value: '"a.b"."c d.e"' }]).changes).toEqual([{ event: '*', schema: 'a.b', table: 'c d.e' }])
})

test.each([
  ['--filter id=gt.5', '--filter belongs behind a --changes'],
  ['--select id', '--select belongs behind a --changes'],
  ['--changes a.b.c', '--changes must be a table'],
  ['--changes t --filter id=above.5', '--filter must be as column=operator.value'],
  ['--changes t --filter id', 'what makes no sense: ["id"]'],
  ['--changes t --event TRUNCATE', '--event of changes must be'],
  ['--changes t --select a,,b', '--select must be columns'],
  ['--changes public.* --select a', '--select needs a table'],
])('%s is a mistake that is named', (line, sentence) => {
  const read = (): unknown => readListenOptions(given(line))
  expect(read).toThrow(Failure)
  expect(read).toThrow(sentence)
})
