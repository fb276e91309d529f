import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { CliSandbox, type CliProcess } from '../../test/cli-process.ts'
import { signJwt } from '../jwt.ts'

const secret = 'a-secret-that-is-only-for-these-tests'
const metricsSecret = 'another-secret-that-reads-metrics'
const environment = { PORT: '0', HOST: '127.0.0.1', API_JWT_SECRET: secret }

let sandbox: CliSandbox
beforeEach(() => {
  sandbox = new CliSandbox()
})
afterEach(() => sandbox.clear())

async function start(more: Readonly<Record<string, string>> = {}): Promise<{ server: CliProcess; url: string }> {
  const server = sandbox.start(['start'], { env: { ...environment, ...more } })
  const { msg } = await server.json<{ msg: string }>((line) => line.msg.startsWith('listening on '))
  return { server, url: msg.slice('listening on '.length) }
}

function tokenFor(role: string, inSeconds = 60): Promise<string> {
  return signJwt({ role, exp: Math.floor(Date.now() / 1000) + inSeconds }, secret)
}

function socketTo(url: string, token: string): WebSocket {
  return new WebSocket(`${url.replace('http', 'ws')}/socket/websocket?vsn=2.0.0&apikey=${token}`)
}

test('a bad environment: every fault at once, exit code 2, nothing of the values', async () => {
  const { code, stdout, stderr } = await sandbox.run(['start'], {
    env: { PORT: 'abc', LOG_LEVEL: 'loud', TENANT_MAX_CONCURRENT_USERS: '-3', DATABASE_URL: 'mysql://user:hidden-password@host' },
  })
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  for (const name of ['API_JWT_SECRET', 'PORT', 'LOG_LEVEL', 'TENANT_MAX_CONCURRENT_USERS', 'DATABASE_URL'])
    expect(stderr).toMatch(new RegExp(`^ {2}${name}: `, 'm'))
  for (const value of ['abc', 'loud', 'hidden-password']) expect(stderr).not.toContain(value)
})

test.each(['SIGTERM', 'SIGINT'] as const)('serves, and drains on %s with 1012 and exit code 0', async (signal) => {
  const { server, url } = await start()
  const socket = socketTo(url, await tokenFor('authenticated'))
  await once(socket, 'open')
  const closed = once(socket, 'close')
  const { code, stdout, stderr } = await server.stop(signal)
  expect({ code, stderr, close: (await closed)[0] as number }).toEqual({ code: 0, stderr: '', close: 1012 })
  const messages = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { msg: string; kind?: string })
    .filter(({ kind }) => kind === undefined)
    .map(({ msg }) => msg)
  expect(messages).toEqual([`listening on ${url}`, `${signal}: draining, 1 open`, 'stopped'])
})

test('a second SIGTERM ends the drain at once; the same press twice does not', async () => {
  const { server, url } = await start({ TIDEWIRE_DRAIN_DELAY_MS: '60000' })
  server.signal('SIGTERM')
  server.signal('SIGTERM')
  await expect.poll(async () => (await fetch(`${url}/healthcheck`)).status).toBe(503)
  // One press can come twice within half a second.
  await new Promise((resolve) => setTimeout(resolve, 600))
  expect((await fetch(`${url}/healthcheck`)).status).toBe(503)
  expect((await server.stop('SIGTERM')).code).toBe(1)
})

describe('the log', () => {
  test('names what was refused, and holds no token, secret or payload, however they come in', async () => {
    const { server, url } = await start({ LOG_LEVEL: 'debug', METRICS_JWT_SECRET: metricsSecret, TENANT_MAX_BYTES_PER_SECOND: '1' })
    const [good, expired] = [await tokenFor('authenticated'), await tokenFor('authenticated', -5)]
    const forged = `${good.slice(0, -4)}AAAA`
    for (const token of [expired, forged]) await once(socketTo(url, token), 'error')
    for (const token of [expired, forged])
      for (const path of ['/api/broadcast', `/api/broadcast?apikey=${token}`, `/${token}`])
        await fetch(url + path, {
          method: 'POST',
          headers: { apikey: token, authorization: `Bearer ${token}` },
          body: `{"secret":"${token}"}`,
        })
    const socket = socketTo(url, good)
    await once(socket, 'open')
    const closed = once(socket, 'close')
    socket.send(JSON.stringify(['1', '1', 'realtime:room', 'phx_join', { access_token: good, config: {} }]))
    socket.send(JSON.stringify(['1', '2', 'realtime:room', 'access_token', { access_token: expired }]))
    socket.send(JSON.stringify(['2', '3', 'realtime:secret', 'phx_join', { access_token: forged, config: { private: true } }]))
    socket.send(`not json but ${good}`)
    await server.json((line) => line.code === 'token-expired')
    await server.json((line) => line.code === 'token-signature' && line.kind === 'upgrade-refused')
    await server.json((line) => line.msg === 'TENANT_MAX_BYTES_PER_SECOND has no effect on this server')
    const { code, stdout, stderr } = await server.stop('SIGTERM')
    await closed
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    for (const hidden of [secret, metricsSecret, good, expired, forged, good.split('.')[1]!, good.split('.')[2]!])
      expect(stdout).not.toContain(hidden)
  })
})

test('/metrics is for tokens of METRICS_JWT_SECRET, and is not there without it', async () => {
  const { url } = await start({ METRICS_JWT_SECRET: metricsSecret })
  const scrape = async (key: string): Promise<Response> =>
    fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${await signJwt({}, key)}` } })
  expect((await scrape(secret)).status).toBe(403)
  const good = await scrape(metricsSecret)
  expect(good.status).toBe(200)
  expect(await good.text()).toContain('realtime_channel_global_joins')
  const { url: without } = await start()
  expect((await fetch(`${without}/metrics`)).status).toBe(404)
})

test('limits come from the environment', async () => {
  const { url } = await start({ TENANT_MAX_CHANNELS_PER_CLIENT: '1', TIDEWIRE_PRIVATE_ONLY: 'false' })
  const socket = socketTo(url, await tokenFor('anon'))
  await once(socket, 'open')
  const refused = new Promise<string>((resolve) =>
    socket.on('message', (data: Buffer) => data.includes('ChannelRateLimitReached') && resolve(data.toString())),
  )
  for (const ref of ['1', '2']) socket.send(JSON.stringify([ref, ref, `realtime:${ref}`, 'phx_join', {}]))
  expect(await refused).toContain('"realtime:2"')
  socket.close()
})

test('what stands in the way is one sentence and exit code 1', async () => {
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address() as AddressInfo
  const taken = await sandbox.run(['start'], { env: { ...environment, PORT: String(port) } })
  holder.close()
  expect(taken).toMatchObject({ code: 1, stdout: '' })
  expect(taken.stderr).toMatch(new RegExp(`^Port ${port} of 127\\.0\\.0\\.1 is in use[^\n]*\n$`))
})

test('a database that does not answer is one line of the log, without its password, and the server runs', async () => {
  const { server } = await start({ DATABASE_URL: 'postgres://user:hidden-password@127.0.0.1:9/name' })
  const { code, stdout, stderr } = await server.stop('SIGTERM')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toMatch(/"The database 127\.0\.0\.1:9\/name does not answer: .*ECONNREFUSED[^"]*wait for it"/)
  expect(stdout).not.toContain('hidden-password')
})

test('--help lists the variables', async () => {
  const { code, stdout } = await sandbox.run(['start', '--help'], { env: { NO_COLOR: '' } })
  expect({ code, isColoured: stdout.includes('\u001b') }).toEqual({ code: 0, isColoured: false })
  for (const name of ['PORT', 'API_JWT_SECRET', 'TENANT_MAX_CONCURRENT_USERS', 'TIDEWIRE_DRAIN_TIMEOUT_MS']) expect(stdout).toContain(name)
})

test.each([['start'], ['dev', '--no-db', '--port', '0', '--json']])(
  '%s notifies OpenTelemetry where a provider is registered',
  async (...args) => {
    const [api, sdk] = ['@opentelemetry/api', '@opentelemetry/sdk-trace-base'].map((name) => JSON.stringify(import.meta.resolve(name)))
    const lines = [
      `import { trace } from ${api}`,
      `import * as sdk from ${sdk}`,
      'const exporter = { export: (spans) => spans.forEach(({ name }) => console.log(JSON.stringify({ span: name }))), shutdown() {} }',
      'trace.setGlobalTracerProvider(new sdk.BasicTracerProvider({ spanProcessors: [new sdk.SimpleSpanProcessor(exporter)] }))',
    ]
    const file = join(sandbox.folder, 'tracing.mjs')
    writeFileSync(file, lines.join('\n'))
    const server = sandbox.start(args, { env: { ...environment, NODE_OPTIONS: `--import ${pathToFileURL(file)}` } })
    const line = await server.line((candidate) => /"listening on|"ready"/.test(candidate))
    const { url = /http:[^"]+/.exec(line)![0], anonKey = await tokenFor('anon') } = JSON.parse(line) as { url?: string; anonKey?: string }
    const socket = socketTo(url, anonKey)
    await once(socket, 'open')
    const config = { broadcast: { self: true } }
    socket.send(JSON.stringify(['1', '1', 'realtime:room', 'phx_join', { config }]))
    socket.send(JSON.stringify(['1', '2', 'realtime:room', 'broadcast', { type: 'broadcast', event: 'e', payload: {} }]))
    await server.json((each) => each.span === 'tidewire.broadcast')
    socket.close()
  },
)
