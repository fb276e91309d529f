import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { startNode, type RunningNode } from '@tidewire/testkit'
import { build } from 'esbuild'
import { afterAll, beforeAll, expect, test } from 'vitest'

const pathOf = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

let server: RunningNode
/** Beside the packages, so that it finds `ws`. */
const bundle = pathOf(`../../../node_modules/.cache/tidewire-client-${process.pid}.mjs`)

beforeAll(async () => {
  await build({
    entryPoints: [pathOf('index.ts')],
    outfile: bundle,
    bundle: true,
    format: 'esm',
    external: ['ws'],
    alias: { '@tidewire/protocol': pathOf('../../protocol/src/index.ts') },
  })
  server = await startNode()
})

afterAll(async () => {
  await server.stop()
  rmSync(bundle, { force: true })
})

test('supabase-js works on this client as it does on realtime-js', async () => {
  const ours = pathToFileURL(bundle).href
  const hook = `export const resolve = (name, context, next) => name === '@supabase/realtime-js' ? { url: ${JSON.stringify(ours)}, shortCircuit: true } : next(name, context)`
  const program = `
    import { register } from 'node:module'
    register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hook)}))
    const { createClient, RealtimeClient } = await import('@supabase/supabase-js')
    const { RealtimeClient: Ours } = await import(${JSON.stringify(ours)})
    const result = { same: RealtimeClient === Ours }
    const supabase = createClient(${JSON.stringify(server.url)}, ${JSON.stringify(server.anonKey)}, { accessToken: async () => ${JSON.stringify(server.anonKey)} })
    const channel = supabase.channel('room', { config: { broadcast: { self: true, ack: true }, presence: { key: 'me' } } })
    const heard = new Promise((resolve) => channel.on('broadcast', { event: 'hello' }, resolve))
    const here = new Promise((resolve) => channel.on('presence', { event: 'join' }, ({ key, newPresences }) => resolve([key, newPresences[0].name])))
    result.status = await new Promise((resolve) => channel.subscribe((status) => resolve(status)))
    result.sent = await channel.send({ type: 'broadcast', event: 'hello', payload: { n: 1 } })
    result.heard = await heard
    result.tracked = await channel.track({ name: 'I' })
    result.here = await here
    result.posted = await channel.httpSend('hello', { n: 2 })
    result.channels = supabase.getChannels().length
    result.removed = await supabase.removeChannel(channel)
    result.all = await supabase.removeAllChannels()
    console.log(JSON.stringify(result))
  `
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], {
    timeout: 15_000,
    cwd: pathOf('.'),
  })
  expect(JSON.parse(stdout)).toEqual({
    same: true,
    status: 'SUBSCRIBED',
    sent: 'ok',
    heard: { type: 'broadcast', event: 'hello', payload: { n: 1 } },
    tracked: 'ok',
    here: ['me', 'I'],
    posted: { success: true },
    channels: 1,
    removed: 'ok',
    all: [],
  })
})
