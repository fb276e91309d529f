import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocketServer, type WebSocket } from 'ws'
import { CliSandbox } from '../../test/cli-process.ts'

let sandbox: CliSandbox
let ready: { readonly url: string; readonly anonKey: string }

beforeAll(async () => {
  sandbox = new CliSandbox()
  ready = await sandbox.start(['dev', '--no-db', '--port', '0', '--json']).json()
})
afterAll(() => sandbox.clear())

const small = ['--subscribers', '20', '--topics', '4', '--messages', '400', '--duration', '20s']

test('all messages reach all, as fast as it goes and at a rate', async () => {
  for (const [pace, value] of [
    ['--in-flight', '4'],
    ['--rate', '1000'],
  ] as const) {
    const { code, stdout } = await sandbox.run(['bench', '--json', ...small, pace, value])
    expect(JSON.parse(stdout)).toMatchObject({ messages: 400, deliveries: 2000, lost: 0, duplicated: 0, reordered: 0 })
    const { latencyMs } = JSON.parse(stdout) as { latencyMs: { p50: number; p99: number; max: number } }
    expect(latencyMs.p50).toBeGreaterThan(0)
    expect(latencyMs.p99).toBeLessThanOrEqual(latencyMs.max)
    expect(code).toBe(0)
  }
})

test('a latency is from when a message was due, which is not the next message', async () => {
  const { stdout } = await sandbox.run(['bench', '--json', '--subscribers', '1', '--rate', '1', '--messages', '2'])
  const { latencyMs } = JSON.parse(stdout) as { latencyMs: { max: number } }
  expect(latencyMs.max).toBeLessThan(1_000)
})

test('for people: what is done, then the figures', async () => {
  const { code, stdout, stderr } = await sandbox.run(['bench', ready.url, '--subscribers', '3', '--messages', '30'])
  expect(stderr).toBe(`${ready.url}: 3 subscribers on 1 topic, 8 in flight, 200 B each, for 10 s.\n`)
  expect(stdout).toMatch(
    /^deliveries {3}[\d,]+\/s \(90 of 30 messages in [\d.]+ s\)\nlatency {6}p50 .* ms, p95 .*\nfaults {7}0 lost, 0 dup/,
  )
  expect(code).toBe(0)
})

test('what takes long shows how far it is; Ctrl-C ends it with the figures so far', async () => {
  const running = sandbox.start(['bench', '--subscribers', '2', '--rate', '50', '--duration', '60s'])
  await expect.poll(() => running.stderr, { timeout: 15_000 }).toMatch(/\nSending: \d+ %, \d+ s left, \d+ deliveries\n/)
  const { code, stdout } = await running.stop()
  expect(stdout).toContain('0 lost')
  expect(code).toBe(0)
})

test('a server elsewhere needs the word of its owner; other mistakes are named', async () => {
  const elsewhere = await sandbox.run(['bench', 'http://bench.example', '--key', 'k'])
  expect(elsewhere).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('--yes-i-may') })
  expect(await sandbox.run(['bench', '--rate', 'fast'])).toMatchObject({ code: 2, stderr: expect.stringContaining('--rate') })
  expect(await sandbox.run(['bench', 'http://127.0.0.1:9', '--key', 'k'])).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/\nNo server answers at http:\/\/127\.0\.0\.1:9 \(ECONNREFUSED\): .*\n$/),
  })
  expect(await sandbox.run(['bench', ready.url, '--key', 'no-jwt'])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('refused the connection (401): The token provided is not a valid JWT'),
  })
})

test('a limit of the server ends it, in the words of the server', async () => {
  const limited = sandbox.start(['dev', '--no-db', '--limits', '--port', '0', '--json'])
  const { url } = await limited.json<{ url: string }>()
  const flood = await sandbox.run(['bench', url, '--subscribers', '2', '--in-flight', '100', '--key', ready.anonKey])
  expect(flood).toMatchObject({ code: 1, stdout: '' })
  expect(flood.stderr).toContain(`${url} ended the test: the server said: Too many messages per second.`)
  await limited.stop()
})

/** A server that loses, repeats and turns round. */
test('what does not come as it was sent is counted, and is a failure', async () => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  const sockets = new Set<WebSocket>()
  const said: string[] = []
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('message', (data: Buffer) => {
      const [, ref, topic, event, payload] = JSON.parse(data.toString()) as [string, string, string, string, unknown]
      if (event === 'phx_join') return socket.send(JSON.stringify([ref, ref, topic, 'phx_reply', { status: 'ok', response: {} }]))
      const message = JSON.stringify([null, null, topic, event, payload])
      said.push(message)
      // 1, not 2, 3 twice, 4 after 5.
      const sent = [[0], [], [2, 2], [], [4, 3]][said.length - 1]!
      for (const other of sockets) if (other !== socket) for (const at of sent) other.send(said[at]!)
    })
  })
  const { port } = server.address() as AddressInfo
  const args = ['--key', 'k', '--subscribers', '1', '--rate', '100', '--messages', '5', '--timeout', '1s']
  const { code, stdout, stderr } = await sandbox.run(['bench', `http://127.0.0.1:${port}/socket`, ...args, '--json'])
  for (const socket of sockets) socket.terminate()
  server.close()
  expect(JSON.parse(stdout)).toMatchObject({ messages: 5, deliveries: 4, lost: 1, duplicated: 1, reordered: 1 })
  expect(stderr).toMatch(/(^|\n)Messages did not come as they were sent\.\n$/)
  expect(code).toBe(1)
})
