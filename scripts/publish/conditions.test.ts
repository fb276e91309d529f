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

/** No function that came after ES2020; and of URL what React Native has without a polyfill. */
const OLD_PLATFORM = `
for (const name of ['hasOwn', 'groupBy']) delete Object[name]
for (const type of [Array, String, Uint8Array]) for (const name of ['at', 'findLast', 'replaceAll', 'toSorted']) delete type.prototype[name]
delete Promise.any
delete globalThis.WeakRef
class URL {
  constructor(url) { this.url = url.endsWith('/') ? url : url + '/' }
  toString() { return this.url }
  get href() { return this.url }
}
for (const name of ['host', 'hostname', 'origin', 'pathname', 'port', 'protocol', 'search'])
  Object.defineProperty(URL.prototype, name, { get() { throw new Error('URL.' + name + ' is not implemented') } })`

/** Joins a channel whose server says one thing, and leaves. */
const SHORT_VISIT = `
class Socket {
  readyState = 0
  constructor() {
    queueMicrotask(() => {
      this.readyState = 1
      this.onopen({})
    })
  }
  send(text) {
    const [joinRef, ref, topic, event] = JSON.parse(text)
    const messages = [[joinRef, ref, topic, 'phx_reply', { status: 'ok', response: {} }]]
    if (event === 'phx_join') messages.push([null, null, topic, 'broadcast', { type: 'broadcast', event: 'e', payload: 1 }])
    for (const message of messages) queueMicrotask(() => this.onmessage({ data: JSON.stringify(message) }))
  }
  close() {
    this.readyState = 3
    queueMicrotask(() => this.onclose({ code: 1000 }))
  }
}
(async () => {
  const realtime = new client.RealtimeClient('wss://x.co/realtime/v1', { apikey: 'k', transport: Socket })
  heard.push(realtime.httpEndpoint)
  const said = new Promise((resolve) => realtime.channel('room').onBroadcast('e', resolve).subscribe())
  heard.push((await said).payload)
  await realtime.removeAllChannels()
})()`

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

  test('React Native and old browsers can run what they get', async () => {
    const { code } = await resolve(['react-native'], kind)
    // A pattern that Hermes does not know ends the program before it begins; it cannot be taken from the engine here.
    expect(/\\p\{|\(\?<[=!]/.exec(code)).toBe(null)
    const platform = createContext({ setTimeout, clearTimeout, queueMicrotask, AbortController, TextDecoder, TextEncoder, heard: [] })
    await (runInContext(`${OLD_PLATFORM}; ${code}; ${SHORT_VISIT}`, platform) as Promise<void>)
    expect(platform['heard']).toEqual(['https://x.co/realtime/v1/api/broadcast', 1])
  })

  test('Node gets the one that may load ws', async () => {
    const { file, imports } = await resolve(['node'], kind)
    expect({ file, imports }).toEqual({ file: NODE[kind], imports: ['ws'] })
  })
})
