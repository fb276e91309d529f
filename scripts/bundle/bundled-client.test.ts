/** The client under its short names does what it does under the long ones, also behind a proxy as Vue and MobX put before it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { FakeRuntime, ScriptedServer, settle } from '@tidewire/testkit'
import { build } from 'esbuild'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Client } from '../../packages/client/src/client.ts'
import { madeNames, shortNames } from './short-names.ts'

const folder = mkdtempSync(join(tmpdir(), 'tidewire-bundled-'))
let RealtimeClient: typeof Client

beforeAll(async () => {
  const outfile = join(folder, 'client.mjs')
  const pathOf = (path: string): string => fileURLToPath(new URL(`../../packages/${path}`, import.meta.url))
  await build({
    entryPoints: [pathOf('client/src/client.ts')],
    outfile,
    alias: { '@tidewire/protocol': pathOf('protocol/src/index.ts') },
    bundle: true,
    format: 'esm',
    target: 'es2020',
    minify: true,
    mangleProps: madeNames,
    tsconfigRaw: { compilerOptions: { useDefineForClassFields: false, verbatimModuleSyntax: true } },
    plugins: [shortNames],
  })
  const bundled = (await import(pathToFileURL(outfile).href)) as { readonly Client: typeof Client }
  RealtimeClient = bundled.Client
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test.each<[string, (client: Client) => Client]>([
  ['as it is', (client) => client],
  ['behind a proxy', (client) => new Proxy(client, {})],
])('%s', async (_, seen) => {
  const runtime = new FakeRuntime()
  const server = new ScriptedServer(runtime)
  const client = seen(new RealtimeClient('ws://localhost/socket', { apikey: 'k', accessToken: () => Promise.resolve('jwt') }, runtime))
  const heard: unknown[] = []
  const channel = client
    .channel('room')
    .onBroadcast('e', ({ payload }) => heard.push(payload))
    .onPresenceSync(() => heard.push(Object.keys(channel.presenceState())))
    .onGap(({ recovered }) => heard.push({ recovered }))
    .subscribe()
  await channel.ready()
  expect(await channel.track({ n: 1 })).toBe('ok')
  server.push('realtime:room', 'broadcast', { type: 'broadcast', event: 'e', payload: 1 })
  server.push('realtime:room', 'presence_state', { a: { metas: [{ phx_ref: '1' }] } })
  runtime.socket.drop()
  await runtime.advance(1000)
  expect([channel.state, heard]).toEqual(['joined', [1, ['a'], { recovered: false }]])
  expect(server.heard('presence')).toHaveLength(2)
  const disconnected = client.removeAllChannels()
  await settle()
  runtime.socket.drop(1005)
  expect(await disconnected).toEqual(['ok'])
  expect([runtime.armedTimers, runtime.watchers]).toEqual([0, 0])
})
