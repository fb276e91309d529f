import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { allObservers, startServer, tokenVerifier, type Decision, type RunningServer } from '../../index.ts'

let running: RunningServer
let decisions: Decision[]

beforeEach(async () => {
  decisions = []
  running = await startServer({
    port: 0,
    verifier: tokenVerifier({ secret: 'a secret for this test only' }),
    observer: { ...allObservers([]), decision: (decision) => decisions.push(decision) },
    hostRule: (host) => host === 'localhost:4000',
  })
})

afterEach(() => running.stop())

/** The status line and the body of the answer to a head with this `Host`. */
async function ask(path: string, host: string, more = ''): Promise<{ status: string; body: string }> {
  const socket = connect(running.port, '127.0.0.1')
  socket.end(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`)
  const [head, body = ''] = (await text(socket)).split('\r\n\r\n')
  return { status: head!.split('\r\n')[0]!, body }
}

const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'

test('requests for the host are answered as ever', async () => {
  expect(await ask('/healthcheck', 'localhost:4000', 'Connection: close\r\n')).toEqual({ status: 'HTTP/1.1 200 OK', body: 'ok' })
  expect((await ask('/socket/websocket?vsn=2.0.0', 'localhost:4000', upgrade)).status).toBe('HTTP/1.1 401 Unauthorized')
})

test('requests and upgrades for another host are refused, and reported', async () => {
  expect(await ask('/healthcheck', 'rebound.example:4000')).toEqual({
    status: 'HTTP/1.1 403 Forbidden',
    body: expect.stringContaining('not known by that host name'),
  })
  expect(await ask('/socket/websocket?vsn=2.0.0', 'rebound.example:4000', upgrade)).toEqual({
    status: 'HTTP/1.1 403 Forbidden',
    body: '{"error":"This server is not known by that host name"}',
  })
  expect(decisions).toMatchObject([
    { kind: 'http-refused', code: 'foreign-host', detail: expect.stringContaining('"rebound.example:4000"') },
    { kind: 'upgrade-refused', code: 'foreign-host' },
  ])
})
