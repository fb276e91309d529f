import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { narrowProxy, openToken, openVerifier, type NarrowProxyOptions } from '@tidewire/testkit'
import { afterEach, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { allObservers, noLimits, resolveOptions, Server, type ServerOptions } from '../../index.ts'
import type { Decision } from '../../ports.ts'
import { nodeRuntime } from '../node-runtime.ts'
import { createWebSocketListener } from './websocket-listener.ts'

const apikey = encodeURIComponent(openToken())
const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

/** A server whose sockets have small buffers, and a receiver that reads them through a narrow network. */
async function setup(options: ServerOptions, network: NarrowProxyOptions, sweepMs = 200) {
  const folder = mkdtempSync(join(tmpdir(), 'tidewire-'))
  const path = join(folder, 'socket')
  const decisions: Decision[] = []
  const observer = { ...allObservers([]), decision: (decision: Decision) => void decisions.push(decision) }
  const server = new Server(resolveOptions({ limits: noLimits, ...options }), { runtime: nodeRuntime(), verifier: openVerifier, observer })
  const listener = createWebSocketListener(server)
  const http = createServer()
  http.on('upgrade', (request, socket, head) => listener.upgrade(request, socket, head))
  await new Promise<void>((resolve) => http.listen(path, resolve))
  const sweeping = setInterval(() => server.sweep(), sweepMs)
  const proxy = await narrowProxy(path, network)
  ends.push(
    () => rmSync(folder, { recursive: true }),
    () => http.close(),
    () => clearInterval(sweeping),
    () => proxy.close(),
  )
  const receiver = new WebSocket(`ws://127.0.0.1:${proxy.port}/socket/websocket?apikey=${apikey}&vsn=2.0.0`)
  const closed = new Promise<string>((resolve) => receiver.once('close', (code) => resolve(`closed with ${code}`)))
  const state = { received: 0, bytes: 0 }
  receiver.on('error', () => {})
  await new Promise((resolve) => receiver.once('open', resolve))
  receiver.send('["1","1","realtime:room","phx_join",{"config":{}}]')
  await new Promise((resolve) => receiver.once('message', resolve))
  let wake = (): void => {}
  receiver.on('message', (data: Buffer) => {
    state.received++
    state.bytes += data.length
    wake()
  })
  const receives = async (count: number): Promise<string> => {
    while (state.received < count) await new Promise<void>((resolve) => (wake = resolve))
    return 'received'
  }
  const send = (bytes: number): void => {
    const payload = { encoding: 'json', bytes: Buffer.from(JSON.stringify('x'.repeat(bytes - 2))) } as const
    server.publishTrusted({ subTopic: 'room', private: false, event: 'e', payload, form: 'text' })
  }
  const [connection] = server.connections.all()
  return {
    state,
    send,
    proxy,
    decisions,
    backlogBytes: () => connection?.backlogBytes ?? 0,
    outcome: (count: number) => Promise.race([receives(count), closed]),
  }
}

test('frames of 2.9 MB reach a receiver that reads all that comes, on a network with small buffers (rule C5)', async () => {
  const { send, outcome, backlogBytes } = await setup({}, {})
  for (let n = 1; n <= 5; n++) {
    send(2_900_000)
    // It is a backlog, and more of one than may wait for a receiver that takes nothing.
    expect(backlogBytes()).toBeGreaterThan(1_048_576)
    expect(await outcome(n)).toBe('received')
  }
})

test('so do many messages of 60 kB that come at once, as the rows of a transaction do', async () => {
  const { send, outcome, state } = await setup({}, {})
  for (let n = 0; n < 300; n++) send(60_000)
  expect(await outcome(300)).toBe('received')
  expect(state.bytes).toBeGreaterThan(300 * 60_000)
})

test('a receiver that takes a frame slowly, and all the while, stays', async () => {
  const { send, outcome, decisions } = await setup({ maxStallMs: 10_000, maxBacklogBytes: 100_000 }, { bytesPerSecond: 1_000_000 }, 100)
  // The write is under way for 1.7 s; without progress a socket may stay for ten sweeps, which are 1 s here.
  send(1_700_000)
  expect(await outcome(1)).toBe('received')
  expect(decisions).toEqual([])
})

test('one that stops reading is closed, in time and in bytes', async () => {
  const inTime = await setup({ maxStallMs: 400 }, {})
  inTime.proxy.stall()
  for (let n = 0; n < 3; n++) inTime.send(1_000_000)
  const inBytes = await setup({ maxMovingBacklogBytes: 2_000_000 }, {})
  inBytes.proxy.stall()
  for (let n = 0; n < 3; n++) inBytes.send(1_000_000)
  for (const { decisions } of [inTime, inBytes])
    await expect.poll(() => decisions, { timeout: 5_000 }).toMatchObject([{ kind: 'connection-closed', code: 'close-1013' }])
})
