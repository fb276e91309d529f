import { FakeRuntime, ScriptedServer, settle } from '@tidewire/testkit'
import { expect, test } from 'vitest'
import { Client as RealtimeClient } from '../client.ts'

function setup() {
  const runtime = new FakeRuntime()
  const server = new ScriptedServer(runtime)
  const client = new RealtimeClient('ws://localhost/socket', { apikey: 'k' }, runtime)
  const errors: unknown[] = []
  const channel = client
    .channel('db')
    .onPostgresChanges('*', { schema: 'public', table: 't' }, () => {})
    .onError((error) => errors.push(error?.code ?? null))
  return { runtime, server, client, channel, errors }
}

const system = (extra: object): object => ({
  extension: 'postgres_changes',
  status: 'error',
  message: 'as the reference says',
  channel: 'db',
  ...extra,
})
const refused = system({ code: 'missing-table', hint: 'There is no table public.t' })
const subscribed = system({ status: 'ok', message: 'Subscribed to PostgreSQL' })

test('a refused table is an error with code and hint, though the channel is joined (rule D17)', async () => {
  const { runtime, server, channel, errors } = setup()
  const ready = channel.subscribe().ready()
  await settle()
  server.push('realtime:db', 'system', refused)
  const wanted = {
    name: 'RealtimeError',
    code: 'missing-table',
    hint: 'There is no table public.t',
    message: 'as the reference says',
    retryable: false,
  }
  await expect(ready).rejects.toMatchObject(wanted)
  expect(channel.error).toMatchObject(wanted)
  expect([channel.state, errors]).toEqual(['joined', ['missing-table']])
  server.push('realtime:db', 'system', refused)
  expect(runtime.warnings).toEqual(['realtime:db: There is no table public.t (missing-table)'])
  server.push('realtime:db', 'system', subscribed)
  expect([channel.error, errors.at(-1)]).toEqual([null, null])
  await channel.ready()
})

test('the console is not for programs that listen to `system`', async () => {
  const { runtime, server, channel } = setup()
  channel.onSystem(() => {}).subscribe()
  await settle()
  server.push('realtime:db', 'system', refused)
  expect([runtime.warnings, channel.error?.code]).toEqual([[], 'missing-table'])
})

test('while the server tries again ready() waits', async () => {
  const { server, channel } = setup()
  const ready = channel.subscribe().ready()
  await settle()
  server.push('realtime:db', 'system', system({ code: 'database-unavailable', hint: 'wait' }))
  expect(channel.error).toMatchObject({ code: 'database-unavailable', retryable: true })
  server.push('realtime:db', 'system', subscribed)
  await ready
})

test('a warning is an error of a channel whose changes flow, until the next join', async () => {
  const { runtime, server, channel } = setup()
  channel.subscribe()
  await settle()
  server.push('realtime:db', 'system', subscribed)
  server.push('realtime:db', 'system', system({ code: 'deletes-not-filterable', hint: 'Listen to DELETE without it', live: true }))
  await channel.ready()
  server.push('realtime:db', 'system', system({ status: 'ok', message: 'Position', position: 'e/1/0' }))
  expect(channel.error).toMatchObject({ code: 'deletes-not-filterable' })
  expect(runtime.warnings).toEqual(['realtime:db: Listen to DELETE without it (deletes-not-filterable)'])
  runtime.socket.drop()
  expect(channel.error).toMatchObject({ code: 'connection-lost' })
  await runtime.advance(1000)
  expect([channel.state, channel.error]).toEqual(['joined', null])
})

test('a refusal in the reply to the join has its code, too', async () => {
  const { server, channel } = setup()
  const reason = 'RealtimeDisabledForConfiguration: no'
  server.onJoin = () => ({ status: 'error', response: { reason, code: 'not-published', hint: 'publish it' } })
  await expect(channel.ready()).rejects.toMatchObject({ code: 'not-published', hint: 'publish it', message: reason, retryable: false })
})

test('servers that give no code', async () => {
  const { server, channel } = setup()
  const ready = channel.subscribe().ready()
  await settle()
  server.push('realtime:db', 'system', system({}))
  await expect(ready).rejects.toMatchObject({ code: 'join-refused', message: 'as the reference says' })
  expect('hint' in channel.error!).toBe(false)
})

test('what the server refuses of a push that nothing waits for is on the console', async () => {
  const { runtime, server, channel } = setup()
  channel.subscribe()
  await settle()
  server.onPush = () => ({ status: 'error', response: { reason: 'Unauthorized: no' } })
  for (let times = 0; times < 2; times++) expect(await channel.send({ type: 'broadcast', event: 'e' })).toBe('ok')
  await settle()
  expect(runtime.warnings).toEqual(['realtime:db: The server refused "a message": Unauthorized: no'])
})

test('a refusal for good that nothing waits for is on the console, once', async () => {
  const runtime = new FakeRuntime()
  const server = new ScriptedServer(runtime)
  server.onJoin = () => ({ status: 'error', response: { reason: 'Unauthorized: no policy' } })
  const client = new RealtimeClient('ws://localhost/socket', { apikey: 'k' }, runtime)
  client.channel('heard').subscribe(() => {})
  await expect(client.channel('awaited').ready()).rejects.toMatchObject({ code: 'unauthorized' })
  client.channel('silent').subscribe()
  await settle()
  expect(runtime.warnings).toEqual(['realtime:silent: Unauthorized: no policy (unauthorized)'])
})
