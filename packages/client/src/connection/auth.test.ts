import { FakeRuntime, ScriptedServer, settle } from '@tidewire/testkit'
import { expect, test } from 'vitest'
import { Client as RealtimeClient } from '../client.ts'

const jwt = (expSeconds: number, id: number): string => `h.${btoa(JSON.stringify({ exp: expSeconds, id })).replace(/=/g, '')}.s`
const tokenOf = (payload: unknown): unknown => (payload as { readonly access_token?: unknown }).access_token

/** A client whose callback gives tokens that are good for `lifeSeconds`, a new one each time. */
function setup(lifeSeconds: number, heartbeatIntervalMs = 25_000) {
  const runtime = new FakeRuntime()
  const server = new ScriptedServer(runtime)
  let count = 0
  const current = { token: '', calls: 0 }
  const accessToken = (): Promise<string> => {
    current.calls++
    if (current.token === '' || count === 0) current.token = jwt(Math.floor(runtime.nowMs() / 1000) + lifeSeconds, ++count)
    return Promise.resolve(current.token)
  }
  const renew = (): void => {
    current.token = ''
  }
  const client = new RealtimeClient('ws://localhost/socket', { apikey: 'k', accessToken, heartbeatIntervalMs }, runtime)
  return { client, runtime, server, current, renew }
}

test('the token is replaced ahead of its end, and joined channels send it', async () => {
  const { client, runtime, server, current, renew } = setup(3600, 2_000_000_000)
  client.channel('room').subscribe()
  await settle()
  const calls = current.calls
  renew()
  await runtime.advance(3_569_000)
  expect([current.calls, server.heard('access_token')]).toEqual([calls, []])
  await runtime.advance(2000)
  expect(current.calls).toBe(calls + 1)
  expect(server.heard('access_token').map(({ payload }) => tokenOf(payload))).toEqual([current.token])
})

test('a token that changed unasked is found with the next heartbeat', async () => {
  const { client, runtime, server, current, renew } = setup(3600)
  client.channel('room').subscribe()
  await settle()
  renew()
  await runtime.advance(25_000)
  expect(server.heard('access_token').map(({ payload }) => tokenOf(payload))).toEqual([current.token])
})

test('after sleep the token is asked for before any channel rejoins', async () => {
  const { client, runtime, server, current, renew } = setup(60)
  const channel = client.channel('room').subscribe()
  await settle()
  runtime.happen('freeze')
  runtime.jump(3_600_000)
  renew()
  const calls = current.calls
  runtime.happen('wake')
  await settle()
  expect([channel.state, current.calls > calls]).toEqual(['joined', true])
  expect(tokenOf(server.heard('phx_join').at(-1)!.payload)).toBe(current.token)
})

test('an overslept heartbeat timer probes instead of waiting a whole interval', async () => {
  const { client, runtime, server } = setup(3600)
  client.connect()
  await settle()
  server.onHeartbeat = () => null
  server.opens = false
  runtime.jump(3_600_000)
  await runtime.advance(10_001)
  expect(client.isConnected()).toBe(false)
})

test('a dead socket is found although every timer is late, as in a hidden page', async () => {
  const { client, runtime, server } = setup(3600)
  client.connect()
  await settle()
  const later = async (): Promise<void> => {
    runtime.jump(60_000)
    await runtime.advance(0)
  }
  for (let minute = 0; minute < 5; minute++) await later()
  expect([client.isConnected(), runtime.sockets.length]).toEqual([true, 1])
  server.onHeartbeat = () => null
  for (let minute = 0; minute < 3; minute++) await later()
  expect(client.state).toMatchObject({ kind: 'waiting', cause: { reason: 'heartbeat timeout' } })
})

test('an expired token without an accessToken callback is final, until a new one is given', async () => {
  const runtime = new FakeRuntime()
  const server = new ScriptedServer(runtime)
  const client = new RealtimeClient('ws://localhost/socket', { apikey: 'k' }, runtime)
  server.onJoin = ({ payload }) =>
    tokenOf(payload) === 'new'
      ? { status: 'ok', response: {} }
      : { status: 'error', response: { reason: 'InvalidJWTToken: Token has expired 3 seconds ago' } }
  const errors: unknown[] = []
  await client.setAuth('old')
  const channel = client.channel('room').subscribe((_, error) => error && errors.push(error.code, error.retryable))
  await runtime.advance(60_000)
  expect(errors).toEqual(['token-expired', false])
  await client.setAuth('new')
  await settle()
  expect(channel.state).toBe('joined')
})

test('an expired token is asked for again where there is an accessToken callback', async () => {
  const { client, runtime, server, renew } = setup(3600)
  let refusals = 0
  server.onJoin = () =>
    refusals++ === 0
      ? { status: 'error', response: { reason: 'InvalidJWTToken: Token has expired 3 seconds ago' } }
      : { status: 'ok', response: {} }
  const channel = client.channel('room').subscribe()
  await settle()
  renew()
  await runtime.advance(1000)
  const [first, second] = server.heard('phx_join').map(({ payload }) => tokenOf(payload))
  expect([channel.state, first === second]).toEqual(['joined', false])
})

test('a hundred channels that join together ask once', async () => {
  const { client, runtime, server, current } = setup(3600)
  for (let n = 0; n < 100; n++) client.channel(`room ${n}`).subscribe()
  await runtime.advance(1)
  expect(server.heard('phx_join')).toHaveLength(100)
  expect(current.calls).toBeLessThan(8)
})

test('setAuth() twice: both promises settle', async () => {
  const runtime = new FakeRuntime()
  const answers: ((token: string) => void)[] = []
  const accessToken = (): Promise<string> => new Promise((resolve) => answers.push(resolve))
  const client = new RealtimeClient('ws://localhost/socket', { apikey: 'k', accessToken }, runtime)
  const both = Promise.all([client.setAuth(), client.setAuth()])
  for (const answer of answers) answer('jwt')
  await both
  expect(client.accessTokenValue).toBe('jwt')
})
