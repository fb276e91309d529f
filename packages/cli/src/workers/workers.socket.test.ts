/** `tidewire start --workers` as its users see it: several processes behind one port, with clients on each. */
import { once } from 'node:events'
import { mkdirSync, readdirSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join as pathOf } from 'node:path'
import { Waiter } from '@tidewire/testkit'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { CliSandbox, type CliProcess } from '../../test/cli-process.ts'
import { signJwt } from '../jwt.ts'

const secret = 'a-secret-that-is-only-for-these-tests'
const metricsSecret = 'another-secret-that-reads-metrics'
const adminSecret = 'another-secret-for-the-inspector'
const environment = {
  ...{ PORT: '0', HOST: '127.0.0.1', API_JWT_SECRET: secret, METRICS_JWT_SECRET: metricsSecret, TIDEWIRE_NODE_NAME: 'n' },
  ...{ TIDEWIRE_INSPECTOR: 'true', TIDEWIRE_ADMIN_SECRET: adminSecret },
}

let sandbox: CliSandbox
const clients: Client[] = []
beforeEach(() => {
  sandbox = new CliSandbox()
})
afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.terminate()
  await sandbox.clear()
})

type Frame = [joinRef: unknown, ref: string | null, topic: string, event: string, payload: Record<string, unknown>]

/** A raw socket on one topic, with what came. */
class Client {
  readonly frames: Frame[] = []
  readonly socket: WebSocket
  readonly closed: Promise<number>
  readonly #waiter = new Waiter()

  constructor(url: string, token: string) {
    this.socket = new WebSocket(`${url.replace('http', 'ws')}/socket/websocket?vsn=2.0.0&apikey=${token}`)
    this.closed = new Promise((resolve) => this.socket.once('close', resolve))
    this.socket.on('error', () => {})
    this.socket.on('message', (data: Buffer) => {
      this.frames.push(JSON.parse(data.toString()) as Frame)
      this.#waiter.changed()
    })
  }

  push(ref: string, event: string, payload: object): void {
    this.socket.send(JSON.stringify(['1', ref, 'realtime:room', event, payload]))
  }

  frame(matches: (frame: Frame) => boolean): Promise<Frame> {
    return this.#waiter.until(() => this.frames.find(matches), 10_000)
  }
}

async function start(more: Readonly<Record<string, string>> = {}, workers = 2): Promise<{ server: CliProcess; url: string }> {
  const server = sandbox.start(['start', '--workers', String(workers)], { env: { ...environment, ...more } })
  const { msg } = await server.json<{ msg: string }>((line) => line.msg.startsWith('listening on '))
  for (let number = 1; number <= workers; number++) await server.json<{ msg: string }>(({ msg: said }) => said === `worker ${number} is up`)
  await server.json<{ msg: string; node: string }>(({ msg: said, node }) => said === 'another node is up' && node === 'n.1')
  return { server, url: msg.slice('listening on '.length) }
}

/** Joined, and present under its name. */
async function join(url: string, name: string): Promise<Client> {
  const token = await signJwt({ role: 'authenticated', sub: name, exp: Math.floor(Date.now() / 1000) + 600 }, secret)
  const client = new Client(url, token)
  clients.push(client)
  await once(client.socket, 'open')
  client.push('1', 'phx_join', { config: { presence: { enabled: true, key: name } } })
  await client.frame(([, ref, , event]) => ref === '1' && event === 'phx_reply')
  client.push('2', 'presence', { type: 'presence', event: 'track', payload: { name } })
  return client
}

async function metricsOf(url: string): Promise<string> {
  const headers = { authorization: `Bearer ${await signJwt({}, metricsSecret)}` }
  return (await fetch(`${url}/metrics`, { headers })).text()
}

async function health(url: string): Promise<string> {
  const response = await fetch(`${url}/healthcheck`, { headers: { connection: 'close' } })
  return `${response.status} ${await response.text()}`
}

async function processOf(server: CliProcess, worker: number): Promise<number> {
  const line = await server.json<{ msg: string; process: number }>(({ msg }) => msg === `worker ${worker} is up`)
  return line.process
}

async function until(read: () => Promise<boolean>, withinMs = 10_000): Promise<void> {
  const deadline = performance.now() + withinMs
  while (!(await read())) {
    if (performance.now() > deadline) throw new Error(`it did not happen within ${withinMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

test('clients on different workers are one system; any worker speaks for all; SIGTERM drains them', async () => {
  const { server, url } = await start()
  const names = ['a', 'b', 'c', 'd']
  const those: Client[] = []
  for (const name of names) those.push(await join(url, name))
  for (const client of those)
    for (const name of names)
      await client.frame(
        ([, , , event, payload]) =>
          (event === 'presence_diff' && name in (payload['joins'] as object)) || (event === 'presence_state' && name in payload),
      )
  for (const [at, client] of those.entries())
    client.push('3', 'broadcast', { type: 'broadcast', event: 'hello', payload: { from: names[at] } })
  for (const [at, client] of those.entries())
    for (const from of names.filter((name) => name !== names[at]))
      await client.frame(([, , , event, payload]) => event === 'broadcast' && (payload['payload'] as { from: string }).from === from)
  for (const client of those) expect(client.frames.filter(([, , , event]) => event === 'broadcast')).toHaveLength(3)

  for (let scrape = 0; scrape < 4; scrape++) {
    const metrics = await metricsOf(url)
    expect(metrics).toContain('\nphoenix_connections_total 4\n')
    expect(metrics).toContain('\ntidewire_broadcasts_total 8\n')
    expect(metrics).toContain('\ntidewire_relay_sent_total 4\n')
    for (const worker of [1, 2]) {
      expect(metrics).toContain(`\ntidewire_worker_up{worker="${worker}"} 1\n`)
      expect(metrics).toMatch(new RegExp(`\\nprocess_resident_memory_bytes\\{worker="${worker}"\\} \\d`))
    }
    expect(await health(url)).toBe('200 ok')
  }

  const shown = await sandbox.run(['nodes', '--json', '--url', url], { env: { TIDEWIRE_ADMIN_SECRET: adminSecret } })
  const nodes = shown.stdout.trimEnd().split('\n')
  expect(nodes.map((line) => (JSON.parse(line) as { name: string }).name).toSorted()).toEqual(['n.1', 'n.2'])

  const workers = [await processOf(server, 1), await processOf(server, 2)]
  const { code, stdout, stderr } = await server.stop('SIGTERM')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(await Promise.all(those.map(({ closed }) => closed))).toEqual([1012, 1012, 1012, 1012])
  expect(stdout).toContain('"msg":"stopped"')
  expect(workers.filter(isAlive)).toEqual([])
  for (const line of stdout.trimEnd().split('\n')) JSON.parse(line)
}, 30_000)

test('a worker that is killed is replaced and named, one that crashes again and again is started ever later, and the rest goes on', async () => {
  const { server, url } = await start()
  const [one, other] = [await join(url, 'a'), await join(url, 'b')]
  const [first, second] = [await processOf(server, 1), await processOf(server, 2)]
  expect(await metricsOf(url)).toContain('\ntidewire_connections_opened_total 2\n')
  process.kill(second, 'SIGKILL')
  await server.json<{ msg: string }>(({ msg }) => msg === `worker 2 (process ${second}) ended by SIGKILL`)
  // Sockets go round: each is on a worker of its own.
  const lost = await Promise.race([one.closed.then(() => one), other.closed.then(() => other)])
  const kept = lost === one ? other : one
  const up = ({ msg, process: pid }: { readonly msg: string; readonly process: number }): boolean =>
    msg === 'worker 2 is up' && pid !== second
  const { process: third } = await server.json(up)
  await until(async () => (await health(url)) === '200 ok')
  const before = await metricsOf(url)
  expect(before).toContain('\ntidewire_worker_restarts_total{worker="2"} 1\n')
  // A sum that falls would look like a restart, and rates would be wrong.
  expect(before).toContain('\ntidewire_connections_opened_total 2\n')
  expect(before).toContain('\nphoenix_connections_total 1\n')
  process.kill(third, 'SIGKILL')
  await server.json<{ msg: string }>(({ msg }) => msg === 'worker 2 ended 2 times in a row and is started again in 1 s')
  await until(async () => (await health(url)).startsWith('200 degraded: worker 2 '))
  await until(async () => (await health(url)) === '200 ok')
  const back = await join(url, 'c')
  back.push('3', 'broadcast', { type: 'broadcast', event: 'back', payload: {} })
  await kept.frame(([, , , event, payload]) => event === 'broadcast' && payload['event'] === 'back')
  expect(kept.socket.readyState).toBe(WebSocket.OPEN)
  expect(isAlive(first)).toBe(true)
  expect((await server.stop('SIGTERM')).code).toBe(0)
}, 40_000)

test.skipIf(process.platform === 'win32')(
  'a worker that hangs is named by the others, and costs only its own clients',
  async () => {
    const { server, url } = await start()
    const second = await processOf(server, 2)
    process.kill(second, 'SIGSTOP')
    await server.json<{ msg: string }>(({ msg }) => msg === 'worker 2 has not answered for 5 s')
    // What was handed to it waits; what comes afterwards goes to the others.
    const asked = await Promise.any([health(url), health(url)])
    expect(asked).toMatch(/^200 degraded: worker 2 has not answered for \d+ s$/)
    expect(await Promise.any([metricsOf(url), metricsOf(url)])).toContain('\ntidewire_worker_up{worker="2"} 0\n')
    process.kill(second, 'SIGCONT')
    await until(async () => (await health(url)) === '200 ok')
    expect((await server.stop('SIGTERM')).code).toBe(0)
  },
  40_000,
)

test('a second SIGTERM ends all at once', async () => {
  const { server, url } = await start({ TIDEWIRE_DRAIN_DELAY_MS: '60000' })
  const workers = [await processOf(server, 1), await processOf(server, 2)]
  server.signal('SIGTERM')
  await server.json<{ msg: string }>(({ msg }) => msg.startsWith('SIGTERM: draining'))
  await until(async () => (await health(url)) === '503 draining')
  // One press can come twice.
  await new Promise((resolve) => setTimeout(resolve, 600))
  expect((await server.stop('SIGTERM')).code).toBe(1)
  await until(async () => Promise.resolve(workers.filter(isAlive).length === 0))
}, 30_000)

test('workers end with their primary, however it ends, and leave no socket behind', async () => {
  const folder = pathOf(sandbox.folder, 'tmp')
  mkdirSync(folder)
  const { server } = await start({ TMPDIR: folder })
  const workers = [await processOf(server, 1), await processOf(server, 2)]
  expect(readdirSync(folder)).toHaveLength(1)
  await server.kill()
  await until(async () => Promise.resolve(workers.filter(isAlive).length === 0 && readdirSync(folder).length === 0))
})

test('what stands in the way of all is one sentence and exit code 1', async () => {
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address() as AddressInfo
  const taken = await sandbox.run(['start', '--workers', '2'], { env: { ...environment, PORT: String(port) } })
  holder.close()
  expect(taken.code).toBe(1)
  expect(taken.stderr).toMatch(new RegExp(`^Port ${port} of 127\\.0\\.0\\.1 is in use[^\n]*\n$`))
})

test.each(['0', 'many', '65', '1.5'])('--workers %s is refused', async (workers) => {
  const { code, stderr } = await sandbox.run(['start', '--workers', workers], { env: environment })
  expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining('from 1 to 64, or auto') as string })
})

test.each([[[]], [['--workers', '2']]])('SIGTERM during the start ends it (%j)', async (options) => {
  // An address that never answers: the start waits for the database.
  const silent = createServer(() => {}).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { port } = silent.address() as AddressInfo
  const connected = once(silent, 'connection')
  const server = sandbox.start(['start', ...options], {
    env: { ...environment, DATABASE_URL: `postgres://user:password@127.0.0.1:${port}/name` },
  })
  await connected
  const at = performance.now()
  const { code, stdout } = await server.stop('SIGTERM')
  silent.close()
  expect(code).toBe(0)
  expect(stdout).toContain('SIGTERM during the start')
  expect(performance.now() - at).toBeLessThan(3_000)
})

test('SIGTERM during the start of the first worker ends all', async () => {
  // NATS that never answers: the worker waits for three seconds until it takes clients without the others.
  const silent = createServer(() => {}).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { port } = silent.address() as AddressInfo
  const connected = once(silent, 'connection')
  const env = { ...environment, TIDEWIRE_NATS_URL: `nats://127.0.0.1:${port}` }
  const server = sandbox.start(['start', '--workers', '2'], { env })
  await connected
  const { code, stdout } = await server.stop('SIGTERM')
  silent.close()
  expect(code).toBe(0)
  expect(stdout).toContain('SIGTERM during the start')
})
