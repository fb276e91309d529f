/** What each platform gets of the published client, as its bundler or loader would resolve it. Needs the build. */
import { mkdtempSync, rmSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { createContext, runInContext } from 'node:vm'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { packTarballs, unpackTarball } from './tarballs.ts'

const project = mkdtempSync(join(tmpdir(), 'tidewire-conditions-'))

beforeAll(() => unpackTarball(packTarballs(['client'], project).client, project))
afterAll(() => rmSync(project, { recursive: true, force: true }))

/** The conditions that each sets beside `import` or `require`. Bun and Deno name Node as well, so the order in the package decides. */
const platforms: Readonly<Record<string, readonly string[]>> = {
  'webpack and Vite': ['browser', 'module'],
  'Cloudflare Workers': ['workerd', 'worker', 'browser'],
  Deno: ['deno', 'node'],
  Bun: ['bun', 'node'],
  'React Native': ['react-native'],
  'Vercel Edge': ['edge-light', 'worker'],
  'anything else': [],
}

const WEB = { import: 'dist/tidewire.js', require: 'dist/cjs/web.js' }
const NODE = { import: 'dist/tidewire.node.js', require: 'dist/cjs/node.js' }

async function resolve(
  conditions: readonly string[],
  kind: 'import' | 'require',
): Promise<{ file: string; imports: string[]; code: string }> {
  const contents = kind === 'import' ? `export * from '@tidewire/client'` : `module.exports = require('@tidewire/client')`
  const { metafile, outputFiles } = await build({
    stdin: { contents, resolveDir: project },
    absWorkingDir: project,
    bundle: true,
    write: false,
    metafile: true,
    platform: 'neutral',
    format: 'iife',
    globalName: 'client',
    conditions: [...conditions],
    external: ['ws', 'node:*', ...builtinModules],
    logLevel: 'silent',
  })
  const file = Object.keys(metafile.inputs).find((input) => input.includes('@tidewire/client'))!
  const imports = Object.values(metafile.inputs).flatMap((input) =>
    input.imports.flatMap((found) => (found.external === true ? [found.path] : [])),
  )
  return { file: relative('node_modules/@tidewire/client', file).replaceAll('\\', '/'), imports, code: outputFiles[0]!.text }
}

describe.each(['import', 'require'] as const)('by %s', (kind) => {
  test.each(Object.entries(platforms))('%s gets the client with nothing of Node in it', async (_, conditions) => {
    const { file, imports, code } = await resolve(conditions, kind)
    expect({ file, imports }).toEqual({ file: WEB[kind], imports: [] })
    // The language alone: no window, no process, no console, no WebSocket, no URL, no timers.
    const bare = createContext({ result: null })
    runInContext(`${code}; result = typeof client.RealtimeClient`, bare)
    expect(bare['result']).toBe('function')
  })

  test('Node gets the one that may load ws', async () => {
    const { file, imports } = await resolve(['node'], kind)
    expect({ file, imports }).toEqual({ file: NODE[kind], imports: ['ws'] })
  })
})
