import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { WebSocketServer, type WebSocket } from 'ws'
import type { Scenario } from '../scenario.ts'
import { ClosedLoop } from './closed-loop.ts'
import { LoadSockets } from './load-sockets.ts'
import { OpenLoop } from './open-loop.ts'
import type { Faults } from '../../../packages/cli/src/load/order-check.ts'

const closing: (() => Promise<unknown>)[] = []

afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()))
})

type Deliver = (send: (message: string) => void, message: string, nth: number) => void

/** A server that delivers as a test asks; deliveries are counted from 1, after that of the rehearsal. */
async function serve(deliver: Deliver): Promise<number> {
  const http = createServer()
  const server = new WebSocketServer({ server: http })
  const joined = new Map<WebSocket, Set<string>>()
  let nth = -1
  server.on('connection', (socket) => {
    const topics = new Set<string>()
    joined.set(socket, topics)
    socket.on('message', (data: Buffer) => {
      const [, , topic, event, payload] = JSON.parse(data.toString()) as [string, string, string, string, unknown]
      if (event === 'phx_join') {
        topics.add(topic)
        socket.send(JSON.stringify(['1', '1', topic, 'phx_reply', { status: 'ok', response: {} }]))
        return
      }
      for (const [other, theirs] of joined)
        if (other !== socket && theirs.has(topic))
          deliver((message) => other.send(message), JSON.stringify([null, null, topic, event, payload]), ++nth)
    })
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  closing.push(() => {
    for (const socket of server.clients) socket.terminate()
    return new Promise((resolve) => http.close(resolve))
  })
  return (http.address() as AddressInfo).port
}

const scenario: Scenario = {
  name: 'test',
  title: '',
  topics: 4,
  subscribersPerTopic: 3,
  publishers: 2,
  load: { kind: 'closed', inFlight: 2 },
}

async function gather(port: number, loop: ClosedLoop | OpenLoop): Promise<LoadSockets> {
  const sockets = await LoadSockets.open({
    scenario,
    address: { host: '127.0.0.1', authority: `127.0.0.1:${port}`, port, isTls: false, path: null },
    dialect: 'phoenix',
    apiKey: '',
    sources: ['127.0.0.1'],
    delivered: (subscriber, sequence) => loop.delivered(subscriber, sequence),
    failed: () => {},
  })
  closing.push(() => Promise.resolve(sockets.close()))
  return sockets
}

async function faultsWith(deliver: Deliver): Promise<{ readonly deliveries: number; readonly faults: Faults }> {
  const loop = new ClosedLoop({ ...scenario, inFlight: 2 })
  const sockets = await gather(await serve(deliver), loop)
  loop.start(sockets.publishers)
  while (loop.deliveries < 500) await new Promise(setImmediate)
  await loop.stop(200)
  return loop
}

describe('the closed loop', () => {
  test('keeps a server busy and misses nothing', async () => {
    const { deliveries, faults } = await faultsWith((send, message) => send(message))
    expect(faults).toEqual({ lost: 0, duplicated: 0, reordered: 0 })
    expect(deliveries % scenario.subscribersPerTopic).toBe(0)
  })

  test('sees a message that is lost', async () => {
    const { faults } = await faultsWith((send, message, nth) => {
      if (nth !== 100) send(message)
    })
    expect(faults).toEqual({ lost: 1, duplicated: 0, reordered: 0 })
  })

  test('sees a message that comes twice', async () => {
    const { faults } = await faultsWith((send, message, nth) => {
      send(message)
      if (nth === 100) send(message)
    })
    expect(faults).toEqual({ lost: 0, duplicated: 1, reordered: 0 })
  })

  test('sees messages that change places', async () => {
    let held: (() => void) | null = null
    const { faults } = await faultsWith((send, message, nth) => {
      // The first two messages of each topic are on their way together: one subscriber gets them turned round.
      const first = message.includes('"s":"00000001"')
      if (nth === 1 && first) held = () => send(message)
      else send(message)
      if (held !== null && message.includes('"s":"00000002"')) {
        held()
        held = null
      }
    })
    expect(faults).toEqual({ lost: 0, duplicated: 0, reordered: 1 })
  })
})

test('the open loop keeps its rate and times every delivery', async () => {
  const loop = new OpenLoop({ ...scenario, messagesPerSecond: 400 })
  const sockets = await gather(await serve((send, message) => send(message)), loop)
  const startedAt = performance.now()
  loop.start(sockets.publishers)
  while (loop.deliveries < 120) await new Promise(setImmediate)
  const tookMs = performance.now() - startedAt
  await loop.stop(2_000)
  expect(loop.faults).toEqual({ lost: 0, duplicated: 0, reordered: 0 })
  expect(tookMs).toBeGreaterThan(90)
  const latencies = loop.takeLatencies()
  expect(latencies).toHaveLength(loop.deliveries)
  expect(Math.min(...latencies)).toBeGreaterThan(0)
})

test('a refusal of the server is reported', async () => {
  const http = createServer()
  http.on('upgrade', (_request, socket) => socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n'))
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  closing.push(() => new Promise((resolve) => http.close(resolve)))
  const loop = new ClosedLoop({ ...scenario, inFlight: 1 })
  await expect(gather((http.address() as AddressInfo).port, loop)).rejects.toThrow('the upgrade was refused: HTTP/1.1 401')
})
