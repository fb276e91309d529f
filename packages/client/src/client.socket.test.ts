import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startNode, type RunningNode } from '@tidewire/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { RealtimeClient } from './index.ts'

let server: RunningNode

beforeAll(async () => {
  server = await startNode()
})

afterAll(() => server.stop())

test.each(['1.0.0', '2.0.0'])('broadcast and presence over a real socket, version %s', async (vsn) => {
  const [alice, bob] = [0, 1].map(() => new RealtimeClient(`${server.url}/socket`, { apikey: server.anonKey, vsn }))
  const topic = `room-${vsn}`
  const heard = new Promise((resolve) => bob!.channel(topic).onBroadcast('hello', resolve))
  const room = alice!.channel(topic, { config: { broadcast: { ack: true } } })
  const joined = new Promise((resolve) => room.onPresenceJoin((key, _, [presence]) => key === '' || resolve(presence)))
  await Promise.all([room.ready(), bob!.channel(topic).ready()])
  expect(await room.sendBroadcast('hello', { from: 'alice' })).toBe('ok')
  expect(await heard).toEqual({ type: 'broadcast', event: 'hello', payload: { from: 'alice' } })
  expect(await bob!.channel(topic).track({ name: 'bob' })).toBe('ok')
  expect(await joined).toMatchObject({ name: 'bob' })
  expect(await Promise.all([alice!.disconnect(), bob!.disconnect()])).toEqual(['ok', 'ok'])
})

test('a server that is not there is tried again; one that does not take the key is not, and channels say why', async () => {
  const errorOf = (client: RealtimeClient): Promise<Error | undefined> =>
    new Promise((resolve) => client.channel('room').subscribe((_, cause) => resolve(cause)))
  const refused = new RealtimeClient(`${server.url}/socket`, { apikey: 'nonsense' })
  expect(await errorOf(refused)).toMatchObject({
    code: 'unauthorized',
    retryable: false,
    message: expect.stringContaining('401') as string,
  })
  expect(refused.connectionState()).toBe('closed')
  const deaf = new RealtimeClient('ws://127.0.0.1:9/socket', { apikey: 'k' })
  expect(await errorOf(deaf)).toMatchObject({
    code: 'unreachable',
    retryable: true,
    message: expect.stringContaining('ws://127.0.0.1:9/socket') as string,
  })
  const elsewhere = new RealtimeClient(`${server.url}/nowhere`, { apikey: server.anonKey })
  expect(await errorOf(elsewhere)).toMatchObject({
    code: 'wrong-path',
    retryable: false,
    message: expect.stringContaining('/realtime/v1') as string,
  })
  expect(await Promise.all([refused, deaf, elsewhere].map((client) => client.disconnect()))).toEqual(['ok', 'ok', 'ok'])
})

test('a connection that died without a word is found by its heartbeat, and the channel comes back', async () => {
  const ends: Socket[] = []
  const wire = createServer((near) => {
    const far = connect(Number(new URL(server.url).port), '127.0.0.1')
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      ends.push(from)
      from.on('error', () => {}).pipe(to)
    }
  }).listen(0, '127.0.0.1')
  await once(wire, 'listening')
  const { port } = wire.address() as AddressInfo
  const client = new RealtimeClient(`ws://127.0.0.1:${port}/socket`, {
    apikey: server.anonKey,
    heartbeatIntervalMs: 200,
    timeout: 1000,
    reconnectAfterMs: () => 1,
  })
  const channel = client.channel('wire')
  await channel.ready({ timeout: 10_000 })
  const lost = new Promise<unknown>((resolve) => client.onState((state) => state.kind === 'waiting' && resolve(state.cause)))
  const back = new Promise<unknown>((resolve) => channel.onGap(resolve))
  // As with a cable that is pulled: both ends stay open, and hear nothing.
  for (const end of ends) end.unpipe().pause()
  expect(await lost).toMatchObject({ reason: 'heartbeat timeout' })
  expect(await back).toMatchObject({ recovered: false })
  expect(await client.disconnect()).toBe('ok')
  for (const end of ends) end.destroy()
  await new Promise((resolve) => wire.close(resolve))
})

test('a process ends as soon as its client is disconnected', async () => {
  const index = fileURLToPath(new URL('index.ts', import.meta.url))
  const program = `
    const { RealtimeClient } = await import(${JSON.stringify(index)})
    const client = new RealtimeClient(${JSON.stringify(`${server.url}/socket`)}, { apikey: ${JSON.stringify(server.anonKey)} })
    const channel = client.channel('room').onPresenceSync(() => {})
    await channel.ready()
    await channel.track({})
    await client.disconnect()
    const startMs = Date.now()
    process.on('exit', () => console.log(Date.now() - startMs))
  `
  const { stdout } = await promisify(execFile)('npx', ['tsx', '--input-type=module', '-e', program], { timeout: 15_000 })
  expect(Number(stdout)).toBeLessThan(1000)
})

test('a message of 200 MB costs the connection and nothing else: pending pushes reject, and the channel comes back', async () => {
  const huge = Buffer.alloc(200_000_000, 'x')
  const listener = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  await once(listener, 'listening')
  let joins = 0
  listener.on('connection', (socket) => {
    // The first socket is cut by the client, which takes no message of that size.
    socket.on('error', () => {})
    socket.on('message', (data: Buffer) => {
      const [joinRef, ref, topic, event] = JSON.parse(data.toString()) as [string, string, string, string]
      const reply = (): void => socket.send(JSON.stringify([joinRef, ref, topic, 'phx_reply', { status: 'ok', response: {} }]))
      if (event === 'phx_join') joins++
      if (event === 'presence' && joins === 1) socket.send(huge, { binary: false })
      else reply()
    })
  })
  const { port } = listener.address() as AddressInfo
  const client = new RealtimeClient(`ws://127.0.0.1:${port}/socket`, { apikey: 'k', reconnectAfterMs: () => 1, transport: WebSocket })
  const errors: unknown[] = []
  const channel = client.channel('room').subscribe((_, error) => error && errors.push(error))
  await channel.ready()
  expect(await channel.track({ n: 1 })).toBe('timed out')
  expect(errors).toMatchObject([{ code: 'connection-lost', retryable: true }])
  await channel.ready()
  expect([joins, await channel.track({ n: 2 })]).toEqual([2, 'ok'])
  expect(await client.disconnect()).toBe('ok')
  await new Promise((resolve) => listener.close(resolve))
})

test('a topic over 255 bytes is joined, JSON is sent on it, and bytes are rejected with their own reason (rule N5)', async () => {
  const client = new RealtimeClient(`${server.url}/socket`, { apikey: server.anonKey })
  const channel = client.channel('x'.repeat(300))
  await channel.ready()
  expect(await channel.sendBroadcast('e', {})).toBe('ok')
  await expect(channel.sendBroadcast('e', new Uint8Array(1))).rejects.toMatchObject({ code: 'name-too-long' })
  expect(await channel.track({})).toBe('ok')
  await client.disconnect()
})
