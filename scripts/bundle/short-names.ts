import { readFileSync } from 'node:fs'
import type { Plugin } from 'esbuild'
import { parseAst } from 'vitest/node'

/** What `mangleProps` is to shorten: the names that this plugin made. No other property of ours starts like that. */
export const madeNames: RegExp = /^_./

/**
 * Reads `#name` as `_name`, which esbuild can shorten. Below ES2022 it would make a WeakMap of each private field; and
 * objects with real private fields do not work behind the proxies of Vue and MobX.
 */
export const shortNames: Plugin = {
  name: 'short-names',
  setup(build) {
    build.onLoad({ filter: /\.ts$/ }, ({ path }) => ({ contents: withoutPrivateNames(readFileSync(path, 'utf8'), path), loader: 'ts' }))
  },
}

/** Every character stays in its place, so that source maps fit the original. */
export function withoutPrivateNames(source: string, path: string): string {
  const text = source.split('')
  const visit = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return
    const { type, start } = node as { readonly type?: unknown; readonly start?: number }
    if (type === 'PrivateIdentifier') text[start!] = '_'
    for (const child of Object.values(node)) visit(child)
  }
  // The bundler's parser, the only one that the workspace has; Vitest passes it on under this name alone.
  // oxlint-disable-next-line typescript/no-deprecated
  visit(parseAst(source, { lang: 'ts' }, path))
  return text.join('')
}
