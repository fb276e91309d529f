import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { WebSocketServer, type WebSocket } from 'ws'
import { LoadGenerator } from '../../../packages/cli/src/load/load-generator.ts'
import type { LoadLoop } from '../../../packages/cli/src/load/load-loop.ts'
import type { Pace } from '../../../packages/cli/src/load/plan.ts'
import type { Scenario } from '../scenario.ts'
import { rehearsed } from './raw-load.ts'
import { RawSocket } from './raw-socket.ts'

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

const scenario: Omit<Scenario, 'load'> = { name: 'test', title: '', topics: 4, subscribersPerTopic: 3, publishers: 2 }
const closed: Pace = { kind: 'closed', inFlight: 2 }

async function gathered(port: number, load: Pace): Promise<LoadGenerator> {
  const job = {
    scenario: { ...scenario, load },
    address: { host: '127.0.0.1', authority: `127.0.0.1:${port}`, port, isTls: false, path: null },
    dialect: 'phoenix',
    apiKey: '',
    sources: ['127.0.0.1'],
  } as const
  const plan = { ...scenario, subscribers: 12, pace: load, durationMs: Infinity, maxMessages: Infinity, timeoutMs: 1_000 }
  const generator = new LoadGenerator({ ...plan, open: await rehearsed(job, () => {}) })
  closing.push(() => Promise.resolve(generator.close()))
  await generator.gather()
  return generator
}

/** Runs until there are so many deliveries and all have come. */
async function loopAfter(deliveries: number, generator: LoadGenerator, tickMs = 5): Promise<LoadLoop> {
  const { loop } = generator
  await generator.run({ tickMs, ticked: () => loop.deliveries >= deliveries && loop.stop() })
  return loop
}

async function resultWith(deliver: Deliver): Promise<LoadLoop> {
  return loopAfter(500, await gathered(await serve(deliver), closed))
}

describe('the closed loop', () => {
  test('keeps a server busy and misses nothing', async () => {
    const { deliveries, faults } = await resultWith((send, message) => send(message))
    expect(faults).toEqual({ lost: 0, duplicated: 0, reordered: 0 })
    expect(deliveries % scenario.subscribersPerTopic).toBe(0)
    expect(deliveries).toBeGreaterThanOrEqual(500)
  })

  test('sees a message that is lost', async () => {
    const { faults } = await resultWith((send, message, nth) => {
      if (nth !== 100) send(message)
    })
    expect(faults).toEqual({ lost: 1, duplicated: 0, reordered: 0 })
  })

  test('sees a message that comes twice', async () => {
    const { faults } = await resultWith((send, message, nth) => {
      send(message)
      if (nth === 100) send(message)
    })
    expect(faults).toEqual({ lost: 0, duplicated: 1, reordered: 0 })
  })

  test('sees messages that change places', async () => {
    let held: (() => void) | null = null
    const { faults } = await resultWith((send, message, nth) => {
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

test('at a rate, every delivery is timed', async () => {
  const generator = await gathered(await serve((send, message) => send(message)), { kind: 'rate', messagesPerSecond: 400 })
  const startedAt = performance.now()
  const loop = await loopAfter(120, generator, 0)
  expect(performance.now() - startedAt).toBeGreaterThan(90)
  expect(loop.faults).toEqual({ lost: 0, duplicated: 0, reordered: 0 })
  expect(loop.latencies.within(0)).toBeNull()
  expect(loop.latencies.within(1 / loop.deliveries)).toBeGreaterThan(0)
  expect(loop.latencies.maxMs).toBeLessThan(performance.now() - startedAt)
})

test('what a publisher sends in a turn is one write', async () => {
  const generator = await gathered(await serve((send, message) => send(message)), { kind: 'closed', inFlight: 5 })
  const written = vi.spyOn(RawSocket.prototype, 'write')
  generator.loop.start(0)
  await new Promise(setImmediate)
  // Two publishers, with five messages of two topics each.
  const [first, second] = written.mock.calls.map(([frames]) => frames.length)
  written.mockRestore()
  expect(generator.loop.messages).toBe(20)
  expect(first).toBeGreaterThan(10 * 200)
  expect(second).toBe(first)
})

test('a refusal of the server is reported', async () => {
  const http = createServer()
  http.on('upgrade', (_request, socket) => socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n'))
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  closing.push(() => new Promise((resolve) => http.close(resolve)))
  await expect(gathered((http.address() as AddressInfo).port, closed)).rejects.toThrow('the upgrade was refused: HTTP/1.1 401')
})
