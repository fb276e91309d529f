import { expect, test } from 'vitest'
import { deadExports } from './check-exports.ts'
import { writeTree } from './imports/test-tree.ts'

function deadIn(tree: Record<string, string>): string[] {
  return deadExports(writeTree(Object.fromEntries(Object.entries(tree).map(([path, text]) => [`packages/${path}`, text]))))
}

test('an export that no other file uses is dead, whether it is used in its own or not', () => {
  expect(
    deadIn({ 'x/src/a.ts': 'export const one = 1, { two } = { two: one }\nexport function three() {}\nexport class Four {}' }),
  ).toEqual(['packages/x/src/a.ts: Four', 'packages/x/src/a.ts: one', 'packages/x/src/a.ts: three', 'packages/x/src/a.ts: two'])
})

test('what a file or a test imports is used, by whatever way', () => {
  const dead = deadIn({
    'x/src/a.ts': 'export const one = 1\nexport const two = 2\nexport type Three = 3\nexport const four = 4',
    'x/src/b.ts': "import { one } from './a.ts'\nconst b = one",
    'x/src/c.ts': "const c: import('./a.ts').Three = 3",
    'y/src/all.ts': 'export const five = 5',
    'y/src/b.ts': "import * as all from './all.ts'",
    'z/src/a.ts': 'export const six = 6',
    'z/src/a.test.ts': "import { six } from './a.ts'",
  })
  // The import of a type by its file may be of anything in it.
  expect(dead).toEqual([])
})

test('an export again is a use only if it is used itself', () => {
  const tree = {
    'x/src/a.ts': 'export const one = 1\nexport const two = 2',
    'x/src/b.ts': "export { two as zwei } from './a.ts'\nexport const three = 3",
    'x/src/index.ts': "export * from './a.ts'\nexport * from './b.ts'",
  }
  expect(deadIn(tree)).toEqual([
    'packages/x/src/a.ts: one',
    'packages/x/src/a.ts: two',
    'packages/x/src/b.ts: three',
    'packages/x/src/b.ts: zwei',
  ])
  expect(deadIn({ ...tree, 'y/src/a.ts': "import { one, zwei } from '@tidewire/x'" })).toEqual(['packages/x/src/b.ts: three'])
})

test('the entry of a public package is used by others; a type belongs to the signatures of its file', () => {
  expect(
    deadIn({
      'client/src/index.ts': "export { one } from './a.ts'",
      'client/src/a.ts':
        'export interface Options { readonly a: 1 }\nexport interface Unused {}\nexport const one = (options: Options) => options',
    }),
  ).toEqual(['packages/client/src/a.ts: Unused'])
})
