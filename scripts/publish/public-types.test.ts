/** The declarations that are published say what things are. Needs the build. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { parseAst } from 'vitest/node'

const packages = fileURLToPath(new URL('../../packages/', import.meta.url))

test.each(['client/dist/types', 'client/dist/cjs', 'react/dist/esm', 'react/dist/cjs'])('no `any` in %s', (folder) => {
  const files = readdirSync(join(packages, folder), { recursive: true, encoding: 'utf8' }).filter((file) => /\.d\.c?ts$/.test(file))
  expect(files).not.toEqual([])
  const found = files.flatMap((file) => linesWithAny(readFileSync(join(packages, folder, file), 'utf8')).map((line) => `${file}:${line}`))
  expect(found).toEqual([])
})

test('an `any` would be found, wherever it stands', () => {
  const text = ['/** any */', 'export type any_ = "any"', 'export declare function f<A = any>(a: A): { any: 1 }', 'export const x: any[]']
  expect(linesWithAny(text.join('\n'))).toEqual([3, 4])
})

function linesWithAny(text: string): number[] {
  const lines: number[] = []
  const visit = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return
    const { type, start } = node as { readonly type?: unknown; readonly start?: number }
    if (type === 'TSAnyKeyword') lines.push(text.slice(0, start).split('\n').length)
    for (const child of Object.values(node)) visit(child)
  }
  // The bundler's parser, the only one that the workspace has; Vitest passes it on under this name alone.
  // oxlint-disable-next-line typescript/no-deprecated
  visit(parseAst(text, { lang: 'dts' }))
  return lines
}
