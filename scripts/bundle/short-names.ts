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

/**
 * Also blanks the sentences of decoders: they are for the sender of a frame, and a client logs their code. Every character stays in
 * its place, so that source maps fit the original.
 */
export function withoutPrivateNames(source: string, path: string): string {
  const text = source.split('')
  const visit = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return
    const { type, start, callee, arguments: given } = node as Node
    if (type === 'PrivateIdentifier') text[start!] = '_'
    if (type === 'CallExpression' && callee?.name === 'undecodable' && given?.[1] !== undefined) {
      const { start: from, end } = given[1]
      text.splice(from!, end! - from!, ...`''${' '.repeat(end! - from! - 2)}`.split(''))
    }
    for (const child of Object.values(node)) visit(child)
  }
  // The bundler's parser, the only one that the workspace has; Vitest passes it on under this name alone.
  // oxlint-disable-next-line typescript/no-deprecated
  visit(parseAst(source, { lang: 'ts' }, path))
  return text.join('')
}

/** What is looked at of a node. */
interface Node {
  readonly type?: string
  readonly start?: number
  readonly end?: number
  readonly callee?: { readonly name?: string }
  readonly arguments?: readonly Node[]
}
