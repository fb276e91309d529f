/** A client moves from a node that is up to date to one that is behind in the log: messages from SQL come once each. */
import { RealtimeClient } from '@tidewire/client'
import { eventually, Waiter } from '@tidewire/testkit'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { startDatabase, type NodeOnDatabase, type TestDatabase } from './database-node.ts'

let database: TestDatabase
let upToDate: NodeOnDatabase
let late: NodeOnDatabase
let writer: pg.Client
let room = 0
const clients: RealtimeClient[] = []

beforeAll(async () => {
  database = await startDatabase()
  await database.sql('create policy everything on realtime.messages for select to authenticated using (true)')
  upToDate = await database.node({}, 'up-to-date')
  late = await database.node({}, 'late')
  // What SQL sends before that is not read.
  await eventually(() => [upToDate, late].every(({ feed }) => feed.source.status.kind === 'streaming'))
})
afterAll(async () => {
  await upToDate.stop()
  await late.stop()
  await database.stop()
})
beforeEach(async () => {
  room++
  writer = new pg.Client({ connectionString: database.url, application_name: 'the writer' })
  await writer.connect()
})
afterEach(async () => {
  late.feed.source.resume()
  await standby('')
  await writer.end()
  for (const client of clients.splice(0)) await client.disconnect()
})

/** The numbers of its messages, those that were replayed with an `r`. */
class Member extends Waiter {
  readonly heard: string[] = []

  async has(...heard: readonly string[]): Promise<void> {
    await this.until(() => this.heard.length >= heard.length, 10_000).catch(() => {})
    expect(this.heard).toEqual(heard)
  }
}

async function join(node: NodeOnDatabase, replay?: { readonly since: number; readonly limit?: number }): Promise<Member> {
  const member = new Member()
  const client = new RealtimeClient(node.socketUrl, { params: { apikey: node.token({ role: 'authenticated' }) } })
  clients.push(client)
  const channel = client.channel(`room ${room}`, { config: { private: true, broadcast: replay === undefined ? {} : { replay } } })
  channel.on('broadcast', { event: '*' }, ({ payload, meta }: { payload: { n: number }; meta?: { replayed?: boolean } }) => {
    member.heard.push(`${meta?.replayed === true ? 'r' : ''}${payload.n}`)
    member.changed()
  })
  channel.subscribe()
  await channel.ready()
  return member
}

const sending = (n: number): string => `select realtime.send('{"n": ${n}}', 'say', 'room ${room}', true)`

async function send(...numbers: readonly number[]): Promise<void> {
  for (const n of numbers) await writer.query(sending(n))
}

/** With a standby that never comes, a commit is in the stream and yet visible to no session, until it need not come any more. */
async function standby(name: string): Promise<void> {
  await database.sql(`alter system set synchronous_standby_names = '${name}'`)
  await database.sql('select pg_reload_conf()')
}

test('a channel gets nothing live that was committed before it joined; one that was there gets all (rule R5)', async () => {
  const [first, there] = [await join(upToDate), await join(late)]
  late.feed.source.pause()
  await send(1, 2, 3)
  await first.has('1', '2', '3')
  const moved = await join(late)
  await send(4)
  await first.has('1', '2', '3', '4')
  late.feed.source.resume()
  await there.has('1', '2', '3', '4')
  await moved.has('4')
})

test('with a replay each message comes once: neither what was replayed nor what the replay left out comes again (rule R4)', async () => {
  const since = Date.now() - 60_000
  const [first, there] = [await join(upToDate), await join(late)]
  late.feed.source.pause()
  await send(1, 2, 3)
  await first.has('1', '2', '3')
  const [all, newest] = [await join(late, { since }), await join(late, { since, limit: 2 })]
  await send(4)
  late.feed.source.resume()
  await there.has('1', '2', '3', '4')
  await all.has('r1', 'r2', 'r3', '4')
  await newest.has('r2', 'r3', '4')
})

test('a commit that stands in the log and that the replay could not see yet comes live (rule R4)', { timeout: 30_000 }, async () => {
  const since = Date.now() - 60_000
  const there = await join(upToDate)
  late.feed.source.pause()
  await send(1)
  await standby('nobody')
  await expect
    .poll(async () => (await writer.query('show synchronous_standby_names')).rows, { timeout: 10_000 })
    .toEqual([{ synchronous_standby_names: 'nobody' }])
  // No commit waits before the checkpointer has read the setting too, which it does before its next checkpoint.
  await database.sql('checkpoint')
  const committed = writer.query(sending(2))
  await there.has('1', '2')
  const moved = await join(late, { since })
  await moved.has('r1')
  late.feed.source.resume()
  await moved.has('r1', '2')
  await standby('')
  await committed
  await send(3)
  await moved.has('r1', '2', '3')
})
