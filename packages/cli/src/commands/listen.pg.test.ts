import { afterAll, beforeAll, expect, test } from 'vitest'
import { CliSandbox, type CliProcess } from '../../test/cli-process.ts'

let sandbox: CliSandbox
let dev: CliProcess

beforeAll(async () => {
  sandbox = new CliSandbox()
  dev = sandbox.start(['dev', '--port', '0', '--json'])
  await dev.json()
  await sql('create table todos (id int primary key, title text, note text)')
})
afterAll(() => sandbox.clear())

async function sql(text: string): Promise<void> {
  expect(await sandbox.run(['sql', text])).toMatchObject({ code: 0 })
}

function linesOf(stdout: string): Record<string, unknown>[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

test('changes that match arrive, of the columns that were asked for; --since goes on from a position', async () => {
  const args = ['listen', '--json', '--changes', 'public.todos', '--filter', 'id=gt.5', '--select', 'id,title', '--count', '3']
  const listener = sandbox.start(args)
  const live = await listener.json<{ type: string; position: string }>((line) => line.type === 'live')
  await sql(
    "insert into todos values (5, 'hidden', 'n'), (6, 'shown', 'n'); update todos set title = 'new' where id = 6; delete from todos",
  )
  const { code, stdout, stderr } = await listener.outcome
  const changes = (text: string): unknown[] =>
    linesOf(text).flatMap(({ type, event, new: row }) => (type === 'change' ? [[event, row]] : []))
  const expected = [
    ['INSERT', { id: 6, title: 'shown' }],
    ['UPDATE', { id: 6, title: 'new' }],
    ['DELETE', {}],
  ]
  expect({ code, stderr, changes: changes(stdout) }).toEqual({ code: 0, stderr: '', changes: expected })

  const late = await sandbox.run([...args, '--since', live.position])
  expect({ code: late.code, changes: changes(late.stdout) }).toEqual({ code: 0, changes: expected })
})

test('for people: one line when it is live, one a change; several tables, and a topic besides', async () => {
  await sql('create table notes (id int primary key)')
  const listener = sandbox.start(['listen', 'room', '--changes', 'todos', '--event', 'INSERT', '--changes', 'notes', '--count', '3'])
  await expect
    .poll(() => listener.stderr, { timeout: 15_000 })
    .toContain('Listening to changes: INSERT of public.todos; public.notes on http')
  await sql("insert into todos values (7, 'seven', null); delete from todos; insert into notes values (1)")
  await sandbox.run(['send', 'room', 'hello', '{"n":1}'])
  const { code, stdout, stderr } = await listener.outcome
  const lines = stdout.trimEnd().split('\n')
  expect(code).toBe(0)
  expect(stderr.match(/Listening to room /g)).toHaveLength(1)
  expect(lines.map((line) => line.replace(/^\d\d:\d\d:\d\d {2}/, '')).toSorted()).toEqual([
    'INSERT  public.notes  {"id":1}',
    'INSERT  public.todos  {"id":7,"note":null,"title":"seven"}',
    'hello  {"n":1}',
  ])
})

test.each([
  ['a column that is not there', ['--changes', 'todos', '--filter', 'nope=eq.1'], 'nope'],
  ['a table that is not there', ['--changes', 'nothing'], 'nothing'],
  ['a value that the column cannot hold', ['--changes', 'todos', '--filter', 'id=eq.word'], 'word'],
])('%s is one sentence of the server, and ends it with 1', async (_, args, word) => {
  const { code, stdout, stderr } = await sandbox.run(['listen', ...args])
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toMatch(/^[^\n]+\n$/)
  expect(stderr).toContain(word)
})

test('a position of another database is reported, and listening goes on', async () => {
  const listener = sandbox.start(['listen', '--json', '--changes', 'todos', '--since', 'elsewhere/1/0'])
  expect(await listener.json((line: { type: string }) => line.type === 'live')).toMatchObject({ recovered: false })
  expect((await listener.stop()).code).toBe(0)
})
