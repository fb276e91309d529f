import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { WebSocketServer, type WebSocket } from 'ws'
import { foreignServer } from './foreign.ts'
import { runOnce, type RunOptions } from './run.ts'
import type { Scenario } from './scenario.ts'

const closing: (() => Promise<unknown>)[] = []

afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()))
})

interface Heard {
  readonly paths: Set<string>
  readonly frames: Set<string>
}

/** A server that writes as a recorded Supabase Realtime did, members in alphabetical order, and takes at most so many joins. */
async function serveAsRecorded(mostJoins = Infinity): Promise<{ readonly port: number; readonly heard: Heard }> {
  const http = createServer()
  const server = new WebSocketServer({ server: http })
  const heard: Heard = { paths: new Set(), frames: new Set() }
  const members = new Map<string, Set<WebSocket>>()
  let joins = 0
  server.on('connection', (socket, request: IncomingMessage) => {
    heard.paths.add(request.url ?? '')
    socket.on('message', (data: Buffer) => {
      const [joinRef, ref, topic, event, payload] = JSON.parse(data.toString()) as [string, string, string, string, Record<string, unknown>]
      heard.frames.add(JSON.stringify([event, event === 'phx_join' ? payload : Object.keys(payload)]))
      const reply = (status: string, response: object): void =>
        socket.send(JSON.stringify([joinRef, ref, topic, 'phx_reply', { status, response }]))
      if (event === 'phx_join') {
        if (++joins > mostJoins) return reply('error', { reason: 'ChannelRateLimitReached: Too many channels' })
        members.set(topic, (members.get(topic) ?? new Set()).add(socket))
        return reply('ok', { postgres_changes: [] })
      }
      const sorted = { event: payload['event'], payload: payload['payload'], type: payload['type'] }
      for (const other of members.get(topic) ?? [])
        if (other !== socket) other.send(JSON.stringify([null, null, topic, 'broadcast', sorted]))
    })
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  closing.push(() => {
    for (const socket of server.clients) socket.terminate()
    return new Promise((resolve) => http.close(resolve))
  })
  return { port: (http.address() as AddressInfo).port, heard }
}

const scenario: Scenario = {
  name: 'test',
  title: '',
  topics: 3,
  subscribersPerTopic: 4,
  publishers: 2,
  load: { kind: 'closed', inFlight: 2 },
}
const options: RunOptions = { serverCore: null, generatorCore: null, warmUpMs: 50, measureMs: 150 }

function foreignAt(port: number): ReturnType<typeof foreignServer> {
  return foreignServer({ url: `http://127.0.0.1:${port}`, apiKey: 'a.b/c', mayElsewhere: false })
}

describe('a server that runs already', () => {
  test('is loaded with what every server of the protocol knows, whatever the order of members in what it sends', async () => {
    const { port, heard } = await serveAsRecorded()
    const result = await runOnce(foreignAt(port), scenario, 0, options)
    expect(result).toMatchObject({
      kind: 'load',
      server: `foreign 127.0.0.1:${port}`,
      cpuMicrosPerDelivery: null,
      serverLoad: null,
      faults: { lost: 0, duplicated: 0, reordered: 0 },
    })
    expect(result.kind === 'load' && result.deliveriesPerSecond).toBeGreaterThan(100)
    expect([...heard.paths]).toEqual(['/realtime/v1/websocket?vsn=2.0.0&apikey=a.b%2Fc'])
    expect([...heard.frames].toSorted()).toEqual([
      '["broadcast",["type","event","payload"]]',
      '["phx_join",{"config":{"broadcast":{"self":false,"ack":false}}}]',
    ])
  })

  test('and refuses is reported with its own words', async () => {
    const { port } = await serveAsRecorded(6)
    const result = await runOnce(foreignAt(port), scenario, 2, options)
    expect(result).toMatchObject({ kind: 'refused', round: 2, reason: expect.stringContaining('ChannelRateLimitReached') as string })
  })

  test('and is not there is reported', async () => {
    const result = await runOnce(foreignAt(1), scenario, 0, options)
    expect(result).toMatchObject({ kind: 'refused', reason: expect.stringContaining('ECONNREFUSED') as string })
  })
})

test('what a foreign server needs is asked for', () => {
  const given = { url: 'https://realtime.example.com', apiKey: 'k', mayElsewhere: true }
  expect(foreignServer(given)).toEqual({
    name: 'foreign realtime.example.com',
    dialect: 'phoenix',
    apiKey: 'k',
    address: { host: 'realtime.example.com', authority: 'realtime.example.com', port: 443, isTls: true, path: '/realtime/v1' },
  })
  expect(foreignServer({ ...given, url: 'ws://[::1]:4000/socket' })).toMatchObject({
    address: { host: '::1', authority: '[::1]:4000', port: 4000, isTls: false, path: '/socket' },
  })
  expect(() => foreignServer({ ...given, apiKey: '' })).toThrow('BENCH_APIKEY')
  expect(() => foreignServer({ ...given, mayElsewhere: false })).toThrow('is not on this machine')
  expect(() => foreignServer({ ...given, url: 'ftp://x' })).toThrow('http://')
})
