import { connect } from 'node:net'
import { allObservers, noLimits, startServer, type RunningServer } from '@tidewire/server'
import { openToken, openVerifier, Waiter } from '@tidewire/testkit'
import { afterEach, expect, test } from 'vitest'
import { WebSocket } from 'ws'

const apikey = encodeURIComponent(openToken())
let node: RunningServer
afterEach(() => node.stop())

async function start(drainTimeoutMs: number, drainDelayMs = 0): Promise<void> {
  node = await startServer({
    port: 0,
    verifier: openVerifier,
    observer: allObservers([]),
    limits: noLimits,
    drainTimeoutMs,
    drainDelayMs,
  })
}

function open(): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${node.port}/socket/websocket?apikey=${apikey}`)
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve(socket))
    socket.once('error', reject)
  })
}

test('sockets are closed with 1012 one after the other, within the time that there is', async () => {
  await start(1_000)
  const open40 = await Promise.all(Array.from({ length: 40 }, open))
  const closed: { readonly code: number; readonly at: number }[] = []
  const waiter = new Waiter()
  for (const socket of open40)
    socket.once('close', (code) => {
      closed.push({ code, at: performance.now() })
      waiter.changed()
    })
  const at = performance.now()
  await node.stop()
  await waiter.until(() => closed.length === 40)
  expect(new Set(closed.map(({ code }) => code))).toEqual(new Set([1012]))
  // Four at a time, fifty milliseconds apart.
  expect(closed.at(-1)!.at - closed[0]!.at).toBeGreaterThan(400)
  expect(performance.now() - at).toBeLessThan(2_000)
})

test('for a while it says that it is not ready, and still takes new sockets', async () => {
  await start(1_000, 400)
  expect(await health()).toEqual([200, 'ok'])
  const stopping = node.stop()
  expect(await health()).toEqual([503, 'draining'])
  const late = await open()
  const closed = new Promise<number>((resolve) => late.once('close', resolve))
  expect(await closed).toBe(1012)
  await stopping
  await expect(open()).rejects.toThrow(/ECONNREFUSED/)
})

test('a client that answers no close frame is cut', async () => {
  await start(300)
  const deaf = connect(node.port, '127.0.0.1')
  deaf.write(
    `GET /socket/websocket?apikey=${apikey} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
  )
  await new Promise((resolve) => deaf.once('data', resolve))
  const ended = new Promise((resolve) => deaf.once('close', resolve))
  deaf.on('data', () => {}).on('error', () => {})
  const at = performance.now()
  await node.stop()
  await ended
  expect(performance.now() - at).toBeLessThan(3_000)
})

async function health(): Promise<readonly [number, string]> {
  const response = await fetch(`http://127.0.0.1:${node.port}/healthcheck?ready`)
  return [response.status, await response.text()]
}
