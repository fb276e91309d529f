import { once } from 'node:events'
import { NatsServer, natsServerPath } from '@tidewire/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { CliSandbox, type CliProcess } from '../../test/cli-process.ts'
import { checkNats, judgeNats } from '../doctor/check-nats.ts'
import { signJwt } from '../jwt.ts'

const secret = 'a-secret-that-is-only-for-these-tests'
const adminSecret = 'another-secret-for-the-inspector'

describe.skipIf(natsServerPath() === undefined)('two processes on one NATS', () => {
  let nats: NatsServer
  beforeAll(async () => {
    nats = await NatsServer.start()
  })
  afterAll(() => nats.close())

  const sandbox = new CliSandbox()
  afterAll(() => sandbox.clear())
  const sockets: WebSocket[] = []
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.terminate()
  })

  async function start(name: string, more: Readonly<Record<string, string>> = {}): Promise<{ server: CliProcess; url: string }> {
    const env = {
      ...{ PORT: '0', HOST: '127.0.0.1', API_JWT_SECRET: secret, TIDEWIRE_INSPECTOR: 'true', TIDEWIRE_ADMIN_SECRET: adminSecret },
      ...{ TIDEWIRE_NATS_URL: nats.url, TIDEWIRE_NODE_NAME: name },
      ...more,
    }
    const server = sandbox.start(['start'], { env })
    const { msg } = await server.json<{ msg: string }>((line) => line.msg.startsWith('listening on '))
    return { server, url: msg.slice('listening on '.length) }
  }

  async function socketOf(url: string, sub: string): Promise<WebSocket> {
    const token = await signJwt({ role: 'authenticated', sub, exp: Math.floor(Date.now() / 1000) + 60 }, secret)
    const socket = new WebSocket(`${url.replace('http', 'ws')}/socket/websocket?vsn=2.0.0&apikey=${token}`)
    sockets.push(socket)
    await once(socket, 'open')
    return socket
  }

  test('nodes shows both, disconnect reaches both, and their logs name it', async () => {
    const [a, b] = [await start('a'), await start('b')]
    await a.server.json<{ msg: string; peer?: string }>(({ msg }) => msg === 'another node is up')
    const env = { TIDEWIRE_ADMIN_SECRET: adminSecret, TIDEWIRE_URL: a.url }
    const [here, there, other] = [await socketOf(a.url, 'ada'), await socketOf(b.url, 'ada'), await socketOf(b.url, 'bob')]
    const shown = await sandbox.run(['nodes', '--json'], { env })
    expect(shown).toMatchObject({ code: 0, stderr: '' })
    const rows = shown.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    // The command's own connection counts at the server that it asks.
    expect(rows.map(({ name, connections, isAsked, answers }) => ({ name, connections, isAsked, answers }))).toEqual([
      { name: 'a', connections: 2, isAsked: true, answers: true },
      { name: 'b', connections: 2, isAsked: false, answers: true },
    ])
    const table = await sandbox.run(['nodes'], { env })
    expect(table.stdout).toMatch(/^NAME +INSTANCE +SINCE +VERSION +CONNECTIONS +TOPICS +LAG\na \* .*\nb  /)
    const closed = [once(here, 'close'), once(there, 'close')]
    expect(await sandbox.run(['disconnect', '--sub', 'ada'], { env })).toMatchObject({ code: 0, stdout: 'Closed 2 connections.\n' })
    for (const each of closed) {
      const [code, reason] = (await each) as [number, Buffer]
      expect([code, reason.toString()]).toEqual([1008, 'Disconnected by an administrator'])
    }
    for (const { server } of [a, b]) await server.json<{ msg: string }>(({ msg }) => msg === 'Disconnected by an administrator')
    expect(other.readyState).toBe(WebSocket.OPEN)
    const one = once(other, 'close')
    expect(await sandbox.run(['disconnect', '--connection', 'b/2'], { env })).toMatchObject({ code: 0, stdout: 'Closed 1 connection.\n' })
    expect((await one)[0]).toBe(1008)
    const wrong = await sandbox.run(['nodes', '--key', await signJwt({ role: 'anon', exp: 4_000_000_000 }, secret)], { env })
    expect(wrong.code).toBe(1)
    expect(wrong.stderr).toMatch(/refused: AdminKeyInvalid/)
    await a.server.stop()
    await b.server.json<{ msg: string }>(({ msg }) => msg === 'another node drains')
    await b.server.json<{ msg: string }>(({ msg }) => msg === 'another node is gone')
    expect((await b.server.stop()).stderr).toBe('')
  })

  test('a node starts without NATS, says why it is alone, and joins later', async () => {
    const late = await NatsServer.start()
    await late.kill()
    const { server, url } = await start('alone', { TIDEWIRE_NATS_URL: late.url })
    const health = async (): Promise<string> => (await fetch(`${url}/healthcheck?ready`)).text()
    await server.line((line) => line.includes(`NATS at 127.0.0.1:${late.port} is not reachable: connection refused`))
    expect(await health()).toBe('degraded: there is no way to the other nodes')
    await late.start()
    await server.json<{ msg: string }>(({ msg }) => msg === 'connected to the other nodes')
    expect(await health()).toBe('ok')
    await server.stop()
    await late.close()
  })

  test('doctor looks at NATS as a node would use it', async () => {
    expect(await checkNats({})).toEqual([])
    expect(await checkNats({ TIDEWIRE_NATS_URL: nats.url })).toEqual([
      { check: 'nats', level: expect.stringMatching(/ok|warn/) as string, detail: expect.stringMatching(/^nats-server 2\./) as string },
    ])
    const strict = await NatsServer.start('authorization { users: [{ user: "u", password: "p", permissions: { publish: ["x"] } }] }')
    const user = { TIDEWIRE_NATS_USER: 'u', TIDEWIRE_NATS_PASSWORD: 'p' }
    expect(await checkNats({ TIDEWIRE_NATS_URL: strict.url, ...user })).toEqual([
      { check: 'nats', level: 'fail', detail: expect.stringContaining('does not let this user publish to tidewire.doctor') as string },
    ])
    expect(await checkNats({ TIDEWIRE_NATS_URL: strict.url })).toMatchObject([
      { level: 'fail', detail: expect.stringContaining('asks for credentials') as string },
    ])
    expect(await checkNats({ TIDEWIRE_NATS_URL: 'nats://example.com' })).toMatchObject([{ level: 'fail' }])
    await strict.close()
  })
})

test('doctor warns of a NATS that is far away or takes small messages only', () => {
  const good = { ok: true, serverVersion: '2.10.0', maxPayloadBytes: 1_048_576, roundTripMs: 0.4 } as const
  expect(judgeNats(good)).toMatchObject({ level: 'ok' })
  expect(judgeNats({ ...good, maxPayloadBytes: 1_024 })).toMatchObject({
    level: 'warn',
    detail: expect.stringContaining('max_payload') as string,
  })
  expect(judgeNats({ ...good, roundTripMs: 40 })).toMatchObject({ level: 'warn', detail: expect.stringContaining('far away') as string })
})
