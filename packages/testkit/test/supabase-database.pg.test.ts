/** supabase-js, unmodified, against our server on a real Postgres: row level security, private channels, messages from SQL. */
import type { RealtimeChannel, SupabaseClient } from '@supabase/supabase-js'
import { Waiter } from '@tidewire/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startDatabaseNode, type DatabaseNode } from './database-node.ts'
import { LIVE, subscribed, SupabaseClients } from './supabase-clients.ts'

const ada = '11111111-1111-1111-1111-111111111111'
const bob = '22222222-2222-2222-2222-222222222222'

let database: DatabaseNode
beforeAll(async () => {
  database = await startDatabaseNode()
  await database.sql(`
    create table notes (id serial primary key, owner uuid, room text, body text);
    alter table notes enable row level security;
    create policy own on notes for select to authenticated using (owner = auth.uid());
    create table rooms (id int primary key, name text);
    create policy read_rooms on realtime.messages for select to authenticated using (realtime.topic() like 'room:%');
    create policy write_rooms on realtime.messages for insert to authenticated
      with check (realtime.topic() like 'room:%' and auth.uid() = '${ada}');
    create function announce_room() returns trigger language plpgsql security definer as $$ begin
      perform realtime.broadcast_changes('room:' || coalesce(new.id, old.id), tg_op, tg_op, tg_table_name, tg_table_schema, new, old, tg_level);
      return null;
    end $$;
    create trigger announce after insert or update or delete on rooms for each row execute function announce_room();
  `)
})
afterAll(() => database.stop())

const clients = new SupabaseClients()
const signedIn = (sub: string): SupabaseClient => clients.signedIn(database.node.url, database.node, sub)

describe('@supabase/supabase-js', () => {
  test('INSERT, UPDATE and DELETE reach the users that the policies let see the row, through filters', async () => {
    const waiter = new Waiter()
    const seen: Record<string, string[]> = { ada: [], bob: [], filtered: [] }
    const listen = (name: string, client: SupabaseClient, filter: string | undefined): Promise<string> => {
      const channel = client.channel(`notes-${name}`)
      channel.on(
        'postgres_changes',
        { event: '*', schema: 'public', table: 'notes', ...(filter === undefined ? {} : { filter }) },
        (change) => {
          const row = (change.eventType === 'DELETE' ? change.old : change.new) as { id: number; body?: string }
          seen[name]!.push(`${change.eventType} ${row.id} ${row.body ?? '-'}`)
          waiter.changed()
        },
      )
      return subscribed(channel, true)
    }
    await signedIn(ada).realtime.setAuth()
    const [forAda, forBob, filtered] = [signedIn(ada), signedIn(bob), signedIn(ada)]
    for (const client of [forAda, forBob, filtered]) await client.realtime.setAuth()
    expect(await listen('ada', forAda, undefined)).toBe(LIVE)
    expect(await listen('bob', forBob, undefined)).toBe(LIVE)
    expect(await listen('filtered', filtered, 'room=eq.b')).toBe(LIVE)
    await database.sql(`
      insert into notes (id, owner, room, body) values (1, '${ada}', 'a', 'one'), (2, '${bob}', 'a', 'two'), (3, '${ada}', 'b', 'three')`)
    await database.sql(`update notes set body = 'new' where id in (2, 3)`)
    await waiter.until(() => seen['ada']!.length === 3 && seen['bob']!.length === 2 && seen['filtered']!.length === 2)
    expect(seen).toEqual({
      ada: ['INSERT 1 one', 'INSERT 3 three', 'UPDATE 3 new'],
      bob: ['INSERT 2 two', 'UPDATE 2 new'],
      filtered: ['INSERT 3 three', 'UPDATE 3 new'],
    })
    // As the reference does, a delete goes to all subscribers, with the key alone.
    await database.sql('delete from notes where id = 1')
    await waiter.until(() => seen['ada']!.length === 4 && seen['bob']!.length === 3)
    expect(seen['bob']!.at(-1)).toBe('DELETE 1 -')
  })

  test('private channels: readers hear, writers are heard, and a refusal says so', async () => {
    const waiter = new Waiter()
    const heard: unknown[] = []
    const [adas, bobs] = [signedIn(ada), signedIn(bob)]
    for (const client of [adas, bobs]) await client.realtime.setAuth()
    const config = { config: { private: true, broadcast: { ack: true } } }
    const [speaks, hears] = [adas.channel('room:1', config), bobs.channel('room:1', config)]
    hears.on('broadcast', { event: '*' }, ({ event, payload }) => {
      heard.push([event, payload])
      waiter.changed()
    })
    expect(await subscribed(speaks)).toBe('SUBSCRIBED')
    expect(await subscribed(hears)).toBe('SUBSCRIBED')
    expect(await speaks.send({ type: 'broadcast', event: 'say', payload: { n: 1 } })).toBe('ok')
    expect(await hears.send({ type: 'broadcast', event: 'say', payload: { n: 2 } })).toBe('error')
    await waiter.until(() => heard.length === 1)
    expect(heard).toEqual([['say', { n: 1 }]])
    expect(await subscribed(bobs.channel('secret', config))).toBe(
      'CHANNEL_ERROR: Unauthorized: You do not have permissions to read from this Channel topic: secret',
    )
  })

  test('messages from SQL: broadcast_changes live, and replay of what was sent before', async () => {
    const waiter = new Waiter()
    const heard: { event: string; operation?: unknown; replayed: unknown }[] = []
    const listen = async (replay: object): Promise<RealtimeChannel> => {
      const client = signedIn(bob)
      await client.realtime.setAuth()
      const channel = client.channel('room:7', { config: { private: true, broadcast: replay } })
      channel.on('broadcast', { event: '*' }, (message) => {
        const { operation } = message['payload'] as { readonly operation?: unknown }
        heard.push({ event: message.event, operation, replayed: message.meta?.replayed === true })
        waiter.changed()
      })
      expect(await subscribed(channel)).toBe('SUBSCRIBED')
      return channel
    }
    const since = Date.now()
    await listen({})
    await database.sql("insert into rooms values (7, 'seven')")
    await database.sql("update rooms set name = 'sept'")
    await database.sql('delete from rooms')
    await waiter.until(() => heard.length === 3)
    const live = ['INSERT', 'UPDATE', 'DELETE'].map((operation) => ({ event: operation, operation, replayed: false }))
    expect(heard.splice(0)).toEqual(live)
    await listen({ replay: { since, limit: 2 } })
    await waiter.until(() => heard.length === 2)
    expect(heard).toEqual(live.slice(1).map((message) => ({ ...message, replayed: true })))
  })
})
