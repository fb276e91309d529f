/** A client moves from a node that is up to date to one that is behind in the log: messages from SQL come once each. */
import { RealtimeClient } from '@tidewire/client'
import { eventually, holdCommits, releaseCommits, Waiter } from '@tidewire/testkit'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { startDatabase, type NodeOnDatabase, type TestDatabase } from './database-node.ts'

let database: TestDatabase
let upToDate: NodeOnDatabase
let late: NodeOnDatabase
let admin: pg.Client
let writer: pg.Client
let room = 0
const clients: RealtimeClient[] = []

beforeAll(async () => {
  database = await startDatabase()
  admin = new pg.Client({ connectionString: database.url })
  await admin.connect()
  await database.sql('create policy everything on realtime.messages for select to authenticated using (true)')
  upToDate = await database.node({}, 'up-to-date')
  late = await database.node({}, 'late')
  // What SQL sends before that is not read.
  await eventually(() => [upToDate, late].every(({ feed }) => feed.source.status.kind === 'streaming'))
})
afterAll(async () => {
  await upToDate.stop()
  await late.stop()
  await admin.end()
  await database.stop()
})
beforeEach(async () => {
  room++
  writer = new pg.Client({ connectionString: database.url, application_name: 'the writer' })
  await writer.connect()
})
afterEach(async () => {
  late.feed.source.resume()
  await releaseCommits(admin)
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
  const probe = new pg.Client({ connectionString: database.url })
  await probe.connect()
  try {
    await holdCommits(admin, probe)
  } finally {
    await probe.end()
  }
  const committed = writer.query(sending(2))
  await there.has('1', '2')
  const moved = await join(late, { since })
  await moved.has('r1')
  late.feed.source.resume()
  await moved.has('r1', '2')
  await releaseCommits(admin)
  await committed
  await send(3)
  await moved.has('r1', '2', '3')
})
