/** What the server guide says to put in front of `tidewire start`: each proxy as printed, but for places and certificates. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import type { LookupFunction } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { RealtimeClient, type BroadcastMessage } from '@tidewire/client'
import { freePort, programPath } from '@tidewire/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { CliSandbox } from '../cli-process.ts'
import { runPages } from './pages.ts'

const NAME = 'realtime.example.com'
const SECRET = 'a secret for this test only, long enough'
const guide = runPages().find(({ path }) => path === 'docs/server.md')!.blocks

/** How to run what the guide shows: `code` with the folder, port and server of this test in it. */
interface Proxy {
  readonly program: string
  readonly language: string
  configuration(code: string, at: { readonly folder: string; readonly port: number; readonly upstream: string }): string
  arguments(file: string): string[]
}

const nginx: Proxy = {
  program: 'nginx',
  language: 'nginx',
  configuration: (code, { folder, port, upstream }) => {
    const placed = code
      .replace('listen 443 ssl', `listen 127.0.0.1:${port} ssl`)
      .replaceAll(`/etc/letsencrypt/live/${NAME}`, folder)
      .replaceAll('/var/log/nginx', folder)
      .replace('127.0.0.1:4000', upstream)
    const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`)
    const user = process.getuid?.() === 0 ? 'user root;' : ''
    return `daemon off; pid ${folder}/nginx.pid; error_log stderr notice; ${user}\nevents {}\nhttp {\n${places.join('\n')}\n${placed}\n}\n`
  },
  arguments: (file) => ['-c', file, '-e', 'stderr'],
}

const caddy: Proxy = {
  program: 'caddy',
  language: 'caddy',
  configuration: (code, { folder, port, upstream }) =>
    `${code
      .replace('{\n', '{\n\tadmin off\n\tauto_https off\n')
      .replace(`${NAME} {`, `https://${NAME}:${port} {\n\tbind 127.0.0.1\n\ttls ${folder}/fullchain.pem ${folder}/privkey.pem`)
      .replace('127.0.0.1:4000', upstream)}\n`,
  arguments: (file) => ['run', '--adapter', 'caddyfile', '--config', file],
}

const sandbox = new CliSandbox()
const { folder } = sandbox
/** Each with its port and what it said. */
const proxies: { readonly child: ChildProcess; readonly lines: string[] }[] = []
let upstream: string
let certificate: Buffer
let anonKey: string
let metricsKey: string

beforeAll(async () => {
  const subject = ['-subj', `/CN=${NAME}`, '-addext', `subjectAltName=DNS:${NAME}`, '-days', '1', '-nodes']
  const files = ['-keyout', join(folder, 'privkey.pem'), '-out', join(folder, 'fullchain.pem')]
  const made = spawnSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', ...subject, ...files], { encoding: 'utf8' })
  if (made.status !== 0) throw new Error(`openssl made no certificate: ${made.stderr}`)
  certificate = readFileSync(join(folder, 'fullchain.pem'))
  const env = { API_JWT_SECRET: SECRET, METRICS_JWT_SECRET: SECRET, HOST: '127.0.0.1', PORT: '0' }
  const { msg } = await sandbox.start(['start'], { env }).json<{ msg: string }>(({ msg: said }) => said.startsWith('listening on '))
  upstream = new URL(msg.replace('listening on ', '')).host
  const token = async (role: string): Promise<string> => (await sandbox.run(['token', '--role', role, '--secret', SECRET])).stdout.trim()
  ;[anonKey, metricsKey] = [await token('anon'), await token('metrics')]
})
afterEach(async () => {
  for (const { child } of proxies.splice(0)) {
    if (child.exitCode !== null) continue
    child.kill('SIGTERM')
    await once(child, 'close')
  }
})
afterAll(() => sandbox.clear())

describe.each([nginx, caddy])('$program', (proxy) => {
  const program = programPath(proxy.program)

  test.skipIf(program === undefined)('passes sockets, requests and refusals on, and keeps figures to itself', async () => {
    const port = await freePort()
    await start(proxy, program!, port, upstream)
    const [sender, receiver] = [clientAt(port), clientAt(port)]
    try {
      const got: unknown[] = []
      let arrived: () => void = () => {}
      const channel = receiver.channel('room').onBroadcast('*', (message: BroadcastMessage) => {
        got.push(message.payload instanceof ArrayBuffer ? [...new Uint8Array(message.payload)] : message.payload)
        arrived()
      })
      channel.subscribe()
      const room = sender.channel('room', { config: { broadcast: { ack: true } } })
      room.subscribe()
      await Promise.all([channel.ready(), room.ready()])
      await room.sendBroadcast('e', { text: 'über' })
      await room.sendBroadcast('e', new Uint8Array([0, 255]))
      // As large as one message may be, and three of them as large as a request may be.
      const batch = (bytes: number, count: number): string =>
        JSON.stringify({
          messages: Array.from({ length: count }, () => ({ topic: 'large', event: 'e', payload: { x: 'x'.repeat(bytes) } })),
        })
      expect((await post(port, '/realtime/v1/api/broadcast', batch(2_600_000, 3))).status).toBe(202)
      expect((await post(port, '/realtime/v1/api/broadcast/room/events/http', '{"n":1}')).status).toBe(202)
      while (got.length < 3) await new Promise<void>((resolve) => (arrived = resolve))
      expect(got).toEqual([{ text: 'über' }, [0, 255], { n: 1 }])
    } finally {
      await sender.disconnect()
      await receiver.disconnect()
    }

    const metrics = { path: '/metrics', key: metricsKey }
    expect((await get(port, metrics)).status).toBe(403)
    expect((await get(port, { path: '/healthcheck', key: '' })).body).toBe('ok')
    await expect(refusalOf(port, 'bad')).resolves.toEqual({ status: 401, body: expect.stringContaining('error') as string })
  })

  test.skipIf(program === undefined)('writes no key into its logs, not even when the server is away', async () => {
    const [port, unused] = [await freePort(), await freePort()]
    const lines = await start(proxy, program!, port, `127.0.0.1:${unused}`)
    expect(await refusalOf(port, anonKey)).toMatchObject({ status: 502 })
    expect((await post(port, '/realtime/v1/api/broadcast?apikey=' + anonKey, '{}')).status).toBe(502)
    const { child } = proxies.at(-1)!
    child.kill('SIGTERM')
    await once(child, 'close')
    const files = proxy === nginx ? ['realtime.log', 'realtime-error.log'] : []
    const written = [...files.map((file) => readFileSync(join(folder, file), 'utf8')), ...lines].join('\n')
    expect(written).toContain('/realtime/v1/websocket')
    expect(written).not.toContain(anonKey.split('.')[1])
  })

  test('lets a silent connection live longer than the time between two heartbeats', () => {
    const { code } = guide.find(({ language }) => language === proxy.language)!
    // Caddy has no such bound where none is set.
    const bounds = [...code.matchAll(/(?:proxy_(?:read|send)_timeout|read_timeout|write_timeout|stream_timeout) (\d+)s/g)]
    for (const [, seconds] of bounds) expect(Number(seconds)).toBeGreaterThan(60)
    expect(bounds.length).toBe(proxy === nginx ? 1 : 0)
  })
})

/** Starts it and waits until it takes connections; what it says goes on to be collected. */
async function start(proxy: Proxy, program: string, port: number, to: string): Promise<string[]> {
  const { code } = guide.find(({ language }) => language === proxy.language)!
  const file = join(folder, `${proxy.program}.conf`)
  writeFileSync(file, proxy.configuration(code, { folder, port, upstream: to }))
  const child = spawn(program, proxy.arguments(file), {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], HOME: folder },
  })
  const lines: string[] = []
  proxies.push({ child, lines })
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', (line) => lines.push(line))
  for (;;) {
    if (child.exitCode !== null) throw new Error(`${proxy.program} did not start:\n${lines.join('\n')}`)
    const answer = await get(port, { path: '/healthcheck', key: '' }).catch(() => null)
    if (answer?.status === (to === upstream ? 200 : 502)) return lines
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** The name of the guide, on this machine. */
const lookup: LookupFunction = (_name, { all }, done) =>
  all === true ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)

function clientAt(port: number): RealtimeClient {
  class ThroughProxy extends WebSocket {
    constructor(url: string | URL, protocols?: string | string[]) {
      super(url, protocols, { ca: certificate, lookup })
    }
  }
  return new RealtimeClient(`wss://${NAME}:${port}/realtime/v1`, { apikey: anonKey, transport: ThroughProxy })
}

interface Answer {
  readonly status: number | undefined
  readonly body: string
}

function get(port: number, { path, key }: { readonly path: string; readonly key: string }): Promise<Answer> {
  return ask(port, { method: 'GET', path, key, body: '' })
}

function post(port: number, path: string, body: string): Promise<Answer> {
  return ask(port, { method: 'POST', path, key: anonKey, body })
}

function ask(
  port: number,
  asked: { readonly method: string; readonly path: string; readonly key: string; readonly body: string },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${asked.key}`, apikey: asked.key }
    const sent = request(
      { host: NAME, port, path: asked.path, method: asked.method, headers, ca: certificate, lookup, agent: false },
      (response) => {
        let body = ''
        response.setEncoding('utf8').on('data', (text: string) => (body += text))
        response.on('end', () => resolve({ status: response.statusCode, body }))
      },
    )
    sent.on('error', reject)
    sent.end(asked.body)
  })
}

/** The answer to an upgrade with a bad key. */
function refusalOf(port: number, key: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`wss://${NAME}:${port}/realtime/v1/websocket?vsn=2.0.0&apikey=${key}`, { ca: certificate, lookup })
    socket.on('unexpected-response', (_request, response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (text: string) => (body += text))
      response.on('end', () => resolve({ status: response.statusCode, body }))
    })
    socket.on('open', () => reject(new Error('the key was taken')))
    socket.on('error', reject)
  })
}
