/** What a package exports says what it is: every name has a doc comment where it is declared. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { parseAst } from 'vitest/node'

interface Named {
  readonly name: string
}

interface Statement {
  readonly type: string
  readonly start: number
  readonly source?: { readonly value: string } | null
  readonly specifiers?: readonly { readonly local: Named }[]
  readonly declaration?: { readonly id?: Named; readonly declarations?: readonly { readonly id: Named }[] } | null
}

const read = (file: URL): string => readFileSync(fileURLToPath(file), 'utf8')

function statementsOf(text: string): readonly Statement[] {
  // The bundler's parser, the only one that the workspace has; Vitest passes it on under this name alone.
  // oxlint-disable-next-line typescript/no-deprecated
  return (parseAst(text, { lang: 'ts' }) as unknown as { readonly body: readonly Statement[] }).body
}

/** The exported names of a file that are declared there, and whether one of their declarations has a doc comment. */
function declaredIn(text: string): Map<string, boolean> {
  const names = new Map<string, boolean>()
  for (const { type, start, declaration } of statementsOf(text)) {
    if (type !== 'ExportNamedDeclaration' || declaration === null || declaration === undefined) continue
    const has = text.slice(0, start).trimEnd().endsWith('*/')
    for (const { name } of declaration.declarations?.map(({ id }) => id) ?? [declaration.id!])
      names.set(name, has || names.get(name) === true)
  }
  return names
}

function withoutComment(index: URL): string[] {
  const text = read(index)
  const own = [...declaredIn(text)].flatMap(([name, has]) => (has ? [] : [name]))
  const others = statementsOf(text).flatMap(({ type, source, specifiers = [] }) => {
    if (!type.startsWith('Export') || !source?.value.startsWith('./')) return []
    const declared = declaredIn(read(new URL(source.value, index)))
    const exported = type === 'ExportAllDeclaration' ? [...declared.keys()] : specifiers.map(({ local }) => local.name)
    return exported.filter((name) => declared.get(name) === false).map((name) => `${source.value} ${name}`)
  })
  return [...own, ...others]
}

test.each(['client', 'react', 'server', 'protocol', 'postgres', 'nats'])('every export of %s has a doc comment', (name) => {
  expect(withoutComment(new URL(`../../packages/${name}/src/index.ts`, import.meta.url))).toEqual([])
})

test('a missing one would be found', () => {
  const text = [
    '/** One. */',
    'export const one = 1',
    'export type Two = 2',
    'export function three(): void {}',
    '/** Two. */',
    'export const Two = 2',
  ]
  expect([...declaredIn(text.join('\n'))]).toEqual([
    ['one', true],
    ['Two', true],
    ['three', false],
  ])
})
