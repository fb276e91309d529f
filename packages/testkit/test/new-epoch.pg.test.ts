/** When the feed does not know what happened meanwhile, every channel is notified, through the server and the client. */
import { RealtimeClient, type RealtimeChannel } from '@tidewire/client'
import { Waiter } from '@tidewire/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startDatabaseNode, type DatabaseNode } from './database-node.ts'

let database: DatabaseNode
let client: RealtimeClient
beforeAll(async () => {
  database = await startDatabaseNode()
  await database.sql('create table notes (id serial primary key, body text); create table tasks (id serial primary key, body text)')
  client = new RealtimeClient(database.node.socketUrl, { params: { apikey: database.node.serviceKey } })
})
afterAll(async () => {
  await client.disconnect()
  await database.stop()
})

const DROP_SLOT = `
  do $$ begin
    for attempt in 1..100 loop
      perform pg_terminate_backend(active_pid) from pg_replication_slots where active_pid is not null;
      begin
        perform pg_drop_replication_slot(slot_name) from pg_replication_slots;
        return;
      exception when object_in_use or undefined_object then perform pg_sleep(0.05);
      end;
    end loop;
  end $$`
const tables = 'for table notes, tasks'

test.each([
  ['the slot is dropped', DROP_SLOT],
  ['the publication is recreated', `drop publication supabase_realtime; create publication supabase_realtime ${tables}`],
])('%s: each channel is asked to load its data again, and goes on', { timeout: 60_000 }, async (_what, sql) => {
  const heard: string[] = []
  const waiter = new Waiter()
  const note = (text: string): void => {
    heard.push(text)
    waiter.changed()
  }
  const both = (text: string): Promise<boolean> =>
    waiter.until(() => ['notes', 'tasks'].every((table) => heard.includes(`${table} ${text}`)), 30_000)
  const channels = ['notes', 'tasks'].map((table) => {
    const channel: RealtimeChannel = client.channel(`watch ${table}`)
    channel.on('system', {}, ({ message }: { message: string }) => {
      if (message === 'Subscribed to PostgreSQL') note(`${table} ${heard.includes(`${table} gap`) ? 'live again' : 'live'}`)
    })
    channel.onGap(() => note(`${table} gap`))
    channel.onPostgresChanges('INSERT', { schema: 'public', table }, ({ new: row }) => note(`${table} ${String(row['body'])}`))
    channel.subscribe()
    return channel
  })
  await both('live')
  await database.sql(sql)
  await both('gap')
  await both('live again')
  await database.sql(`insert into notes (body) values ('after'); insert into tasks (body) values ('after')`)
  await both('after')
  expect(heard.filter((text) => text.endsWith('gap')).toSorted()).toEqual(['notes gap', 'tasks gap'])
  for (const channel of channels) await channel.unsubscribe()
})
