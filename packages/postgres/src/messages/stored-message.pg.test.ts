import type { StoredPublish } from '@tidewire/server'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { usePostgres } from '../../test/postgres.ts'
import type { ChangeSource } from '../replication/source/change-source-api.ts'
import { migrate } from '../io/migrate.ts'
import { openChangeSource } from '../io/replication/open-change-source.ts'
import { isMessageTable } from '../replication/table.ts'
import { storedMessage } from './stored-message.ts'

const postgres = usePostgres()
let admin: pg.Client
let source: ChangeSource
const messages: StoredPublish[] = []
let arrived: () => void = () => {}

beforeAll(async () => {
  const url = await postgres.createDatabase()
  admin = new pg.Client({ connectionString: url })
  await admin.connect()
  await migrate(admin)
  await new Promise<void>((resolve) => {
    source = openChangeSource({
      connection: url,
      slot: 'messages_test',
      temporarySlot: true,
      publications: [{ name: 'tidewire_messages', viaRoot: true }],
      handlers: {
        onStatus: (status) => status.kind === 'streaming' && resolve(),
        onChanges: (changes) => {
          for (const change of changes) {
            expect(isMessageTable(change.table)).toBe(true)
            const message = storedMessage(change, source.log)
            if (message !== null) messages.push(message)
          }
          arrived()
        },
      },
    })
  })
})
afterAll(async () => {
  await source.close()
  await admin.end()
})

async function take(count: number): Promise<string[]> {
  while (messages.length < count) await new Promise<void>((resolve) => (arrived = resolve))
  return messages.splice(0).map(({ subTopic, event, private: isPrivate, payload }) => {
    const bytes = Buffer.from(payload.bytes)
    return `${isPrivate ? 'private' : 'public'} ${subTopic} ${event} ${payload.encoding === 'json' ? bytes.toString() : bytes.toString('hex')}`
  })
}

test('what SQL sends comes out in the order of commits, with its digits, and rows that are no message do not', async () => {
  await admin.query(`
    begin;
    select realtime.send('{"id": "a", "n": 1.50}', 'one', 'room', true);
    select realtime.send('{"id": "b", "n": 9007199254740993}', 'two', 'room', false);
    select realtime.send_binary('\\x00ff', 'three', 'room', true);
    commit;
    begin; select realtime.send('{"id": "never"}', 'x', 'room'); rollback;
    insert into realtime.messages (topic, extension, private) values ('room', 'broadcast', true);
    insert into realtime.messages (topic, extension, event, payload, inserted_at) values ('room', 'presence', 'far', '5', now() + interval '1 year');
    delete from realtime.messages;
  `)
  expect(await take(4)).toEqual([
    'private room one {"n": 1.50, "id": "a"}',
    'public room two {"n": 9007199254740993, "id": "b"}',
    'private room three 00ff',
    'public room far 5',
  ])
})

test('a message says when it was committed, and the trace that its payload names', async () => {
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const before = Date.now()
  await admin.query(`
    select realtime.send('{"traceparent": "${traceparent}"}', 'named', 'room');
    select realtime.send('{"traceparent": "none", "deeper": {"traceparent": "${traceparent}"}}', 'none', 'room');
    select realtime.send_binary('\\x${Buffer.from(`{"traceparent":"${traceparent}"}`).toString('hex')}', 'opaque', 'room', true);
  `)
  const after = Date.now()
  while (messages.length < 3) await new Promise<void>((resolve) => (arrived = resolve))
  const taken = messages.splice(0)
  expect(taken.map((message) => message.traceparent)).toEqual([traceparent, null, null])
  for (const { committedAt } of taken) {
    // Postgres counts microseconds.
    expect(committedAt).toBeGreaterThanOrEqual(before - 1)
    expect(committedAt).toBeLessThanOrEqual(after + 1)
  }
})
