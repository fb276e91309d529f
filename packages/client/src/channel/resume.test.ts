import { FakeRuntime, ScriptedServer, settle } from '@tidewire/testkit'
import { expect, test } from 'vitest'
import { Client as RealtimeClient } from '../client.ts'
import type { BigNumbers } from '../options.ts'
import type { Rejoin } from '../listen/payloads.ts'

function setup(bigNumbers?: BigNumbers) {
  const runtime = new FakeRuntime()
  const server = new ScriptedServer(runtime)
  const client = new RealtimeClient('ws://localhost/socket', { apikey: 'k', ...(bigNumbers && { bigNumbers }) }, runtime)
  const rejoins: Rejoin[] = []
  const gaps: Rejoin[] = []
  const rows: unknown[] = []
  const channel = client
    .channel('db')
    .onPostgresChanges('*', { schema: 'public', table: 't' }, (change) => rows.push(change.new))
    .onRejoin((rejoin) => rejoins.push(rejoin))
    .onGap((rejoin) => gaps.push(rejoin))
    .subscribe()
  return { client, runtime, server, channel, rejoins, gaps, rows }
}

const subscribed = (extra: object = {}): object => ({
  extension: 'postgres_changes',
  status: 'ok',
  message: 'Subscribed to PostgreSQL',
  channel: 'db',
  ...extra,
})
const insert = (position?: string): object => ({
  ids: [1],
  data: {
    type: 'INSERT',
    schema: 'public',
    table: 't',
    commit_timestamp: 'T',
    errors: null,
    columns: [{ name: 'id', type: 'int8' }],
    record: { id: 1 },
    ...(position && { position }),
  },
})
const optionsOf = (payload: unknown): unknown =>
  (payload as { config: { postgres_changes_options?: unknown } }).config.postgres_changes_options

test('a server that gives positions is asked to go on from the last, and its answer is reported', async () => {
  const { runtime, server, rejoins, gaps } = setup()
  await settle()
  server.push('realtime:db', 'system', subscribed({ position: 'e/1/0' }))
  server.push('realtime:db', 'postgres_changes', insert('e/2/0'))
  runtime.socket.drop()
  await runtime.advance(1000)
  expect(server.heard('phx_join').map(({ payload }) => optionsOf(payload))).toEqual([
    { positions: true },
    { positions: true, since: 'e/2/0' },
  ])
  expect(rejoins).toEqual([])
  server.push('realtime:db', 'system', subscribed({ position: 'e/3/0', recovered: true }))
  expect([rejoins, gaps]).toEqual([[{ recovered: true, reason: '' }], []])
  runtime.socket.drop()
  await runtime.advance(1000)
  server.push('realtime:db', 'system', subscribed({ position: 'f/1/0', recovered: false, reason: 'other-epoch' }))
  expect(gaps).toEqual([{ recovered: false, reason: 'other-epoch' }])
  expect(rejoins).toHaveLength(2)
})

test('what is no answer to the rejoin is not taken for one, and a gap without a reason says so', async () => {
  const { runtime, server, rejoins } = setup()
  const rejoin = async (): Promise<void> => {
    runtime.socket.drop()
    await runtime.advance(10_000)
  }
  await settle()
  server.push('realtime:db', 'system', subscribed({ position: 'e/1/0' }))
  await rejoin()
  const trouble = { status: 'error', extension: 'postgres_changes', channel: 'db', message: 'Trying again' }
  server.push('realtime:db', 'system', { ...trouble, code: 'database-unavailable' })
  server.push('realtime:db', 'system', { ...trouble, code: 'deletes-withheld', live: true })
  server.push('realtime:db', 'system', subscribed({ message: 'Position', position: 'e/2/0' }))
  expect(rejoins).toEqual([])
  server.push('realtime:db', 'system', subscribed({ recovered: true }))
  expect(rejoins).toEqual([{ recovered: true, reason: '' }])
  await rejoin()
  server.push('realtime:db', 'system', subscribed())
  await rejoin()
  server.push('realtime:db', 'system', { ...trouble, code: 'missing-table' })
  expect(rejoins.slice(1)).toEqual([
    { recovered: false, reason: 'unspecified' },
    { recovered: false, reason: 'changes-refused' },
  ])
})

test('against a server without positions every rejoin is a gap; a first join is none', async () => {
  const { runtime, server, channel, rejoins, gaps } = setup()
  await settle()
  server.push('realtime:db', 'system', subscribed())
  server.push('realtime:db', 'postgres_changes', insert())
  expect(gaps).toEqual([])
  for (let cut = 1; cut <= 2; cut++) {
    runtime.socket.drop()
    await runtime.advance(10_000)
    expect([gaps.length, rejoins.length]).toEqual([cut, cut])
  }
  expect(gaps[0]).toEqual({ recovered: false, reason: 'no-history' })
  await channel.unsubscribe()
  channel.subscribe()
  await settle()
  expect(gaps).toHaveLength(2)
})

test('a new subscription does not go on where an older one ended', async () => {
  const { server, channel } = setup()
  await settle()
  server.push('realtime:db', 'postgres_changes', insert('e/2/0'))
  await channel.unsubscribe()
  channel.subscribe()
  await settle()
  expect(optionsOf(server.heard('phx_join').at(-1)!.payload)).toEqual({ positions: true })
})

test.each([
  ['number', { id: 9007199254740992, price: 12345678901234567000, text: '"12345678901234567890"', list: [1, 9007199254740992], small: 5 }],
  [
    'string',
    {
      id: '9007199254740993',
      price: '12345678901234567.8901',
      text: '"12345678901234567890"',
      list: ['1', '9007199254740993'],
      small: '5',
    },
  ],
  [
    'bigint',
    { id: 9007199254740993n, price: '12345678901234567.8901', text: '"12345678901234567890"', list: [1n, 9007199254740993n], small: 5n },
  ],
] as const)('big numbers as %s', async (bigNumbers, wanted) => {
  const { runtime, rows } = setup(bigNumbers)
  await settle()
  const columns =
    '[{"name":"id","type":"int8"},{"name":"price","type":"numeric"},{"name":"text","type":"text"},{"name":"list","type":"_int8"},{"name":"small","type":"int8"}]'
  const record = `{"id":9007199254740993,"price":${bigNumbers === 'number' ? '12345678901234567890' : '12345678901234567.8901'},"text":"\\"12345678901234567890\\"","list":[1,9007199254740993],"small":5}`
  runtime.socket.receive(
    `[null,null,"realtime:db","postgres_changes",{"ids":[1],"data":{"type":"INSERT","schema":"public","table":"t","columns":${columns},"record":${record}}}]`,
  )
  expect(rows).toEqual([wanted])
})

test('a server that lost what happened meanwhile makes a gap of a channel that never left', async () => {
  const { server, rejoins, gaps } = setup()
  await settle()
  server.push('realtime:db', 'system', subscribed({ position: 'e/1/0' }))
  const lost = { status: 'error', extension: 'postgres_changes', channel: 'db', message: 'Changes may have been missed' }
  server.push('realtime:db', 'system', { ...lost, resync: true, reason: 'slot-lost' })
  server.push('realtime:db', 'system', subscribed({ position: 'f/1/0' }))
  expect([rejoins, gaps]).toEqual([[{ recovered: false, reason: 'slot-lost' }], [{ recovered: false, reason: 'slot-lost' }]])
})

test('a warning about some changes takes nothing from the others', async () => {
  const { server, channel, runtime } = setup()
  await settle()
  const warning = { extension: 'postgres_changes', status: 'error', message: 'Changes of public.t are withheld', channel: 'db', live: true }
  server.push('realtime:db', 'system', warning)
  const ready = channel.ready()
  server.push('realtime:db', 'system', subscribed())
  await ready
  server.push('realtime:db', 'system', warning)
  await channel.ready()
  const errors: unknown[] = []
  channel.subscribe((status, error) => status === 'CHANNEL_ERROR' && errors.push(error?.message))
  runtime.socket.drop()
  expect(errors).toEqual(['socket closed: 1006'])
})
