/** A node whose database fails over to a standby, at the same address: another timeline, and so another epoch. */
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { JoinPosition } from '@tidewire/server'
import { copyAsStandby, makeStandby, TcpProxy } from '@tidewire/testkit'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { asRole, storeMessage, TestChannel } from '../../../test/feed.ts'
import { clusterOf, FLUSHED_POSITION, positionOf as joinPositionOf } from '../../messages/join-position.ts'
import { storedMessage } from '../../messages/stored-message.ts'
import type { ChangeSourceStatus } from '../../replication/source/change-source-api.ts'
import { startEmbeddedPostgres } from '../embedded/embedded-postgres.ts'
import type { EmbeddedPostgres } from '../embedded/running-server.ts'
import { migrate } from '../migrate.ts'
import { listSlots, type Slot } from '../replication/slot.ts'
import { openPostgresFeed, type PostgresFeed, type PostgresFeedOptions } from './postgres-feed.ts'

const installation = process.env['TIDEWIRE_TEST_POSTGRES']
const SETTINGS = { fsync: 'off', wal_keep_size: '512MB', max_slot_wal_keep_size: '4GB' }
const SETUP = `create table notes (id int primary key, body text); grant usage on schema public to anon; grant all on notes to anon;
  alter publication supabase_realtime add table notes`
const NOTES = { event: '*', schema: 'public', table: 'notes' }
const MESSAGES = [{ name: 'messages', tables: [{ schema: 'realtime', name: 'messages' }], viaRoot: true }]
/** So much that the other timeline does not get that far. */
const FILLER = `create table filler as select repeat('x', 100) from generate_series(1, 30000)`
const STANDBY = /takes no writes.*standby/

let base: string
let primary: EmbeddedPostgres
let standby: EmbeddedPostgres
/** What nodes are given as the address of the database. */
let address: TcpProxy
/** Between the standby and its primary. */
let following: TcpProxy
let feeds: PostgresFeed[]
let sessions: pg.Client[]

beforeEach(async () => {
  ;[feeds, sessions] = [[], []]
  base = await mkdtemp(join(tmpdir(), 'tidewire-standby-'))
  await chmod(base, 0o755)
  const dataDir = join(base, 'primary')
  primary = await startEmbeddedPostgres({ installation, dataDir, settings: SETTINGS })
  const sql = await session(primary)
  await migrate(sql)
  await sql.query(SETUP)
  await sql.end()
  await primary.stop()
  following = await TcpProxy.start({ port: primary.port })
  await copyAsStandby(dataDir, join(base, 'standby'), urlAt(following.port))
  primary = await startEmbeddedPostgres({ installation, dataDir, port: primary.port, settings: SETTINGS })
  standby = await startEmbeddedPostgres({ installation, dataDir: join(base, 'standby'), settings: SETTINGS })
  address = await TcpProxy.start({ port: primary.port })
})

afterEach(async () => {
  for (const feed of feeds) await feed.close()
  for (const each of sessions) await each.end().catch(() => {})
  await Promise.all([address.close(), following.close(), primary.stop(), standby.stop()])
  await rm(base, { recursive: true, force: true })
})

function urlAt(port: number): string {
  const url = new URL(primary.url)
  url.port = String(port)
  return url.href
}

async function session({ url }: EmbeddedPostgres): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  sessions.push(client)
  return client
}

interface Node {
  readonly feed: PostgresFeed
  readonly statuses: ChangeSourceStatus[]
  /** Events of the messages that SQL sent. */
  readonly messages: (string | undefined)[]
}

function node(options: Partial<PostgresFeedOptions> = {}): Node {
  const [statuses, messages]: [ChangeSourceStatus[], (string | undefined)[]] = [[], []]
  const feed = openPostgresFeed({
    databaseUrl: urlAt(address.port),
    otherPublications: MESSAGES,
    ...{ checkIntervalMs: 50, advanceIntervalMs: 100, positionIntervalMs: 100, hasRelay: true },
    onStatus: (status) => statuses.push(status),
    onRow: (change, log) => messages.push(storedMessage(change, log)?.event),
    ...options,
  })
  feeds.push(feed)
  return { feed, statuses, messages }
}

async function join_({ feed }: Node, since: string | null = null): Promise<TestChannel> {
  const channel = new TestChannel(feed, { entries: [NOTES], identity: asRole('anon'), positions: true, since })
  await channel.subscribed()
  return channel
}

async function anchorsOf(sql: pg.Client): Promise<Slot[]> {
  return (await listSlots(sql, 'tidewire')).filter(({ role }) => role === 'anchor')
}

/** Where its log is, as it is read with the policies of private channels. */
async function positionAt(sql: pg.Client): Promise<JoinPosition | null> {
  const cluster = await clusterOf(sql, (text) => sql.query(text))
  const { rows } = await sql.query<{ position: string | null }>(`select ${FLUSHED_POSITION} as position`)
  return joinPositionOf(cluster, rows[0]!.position)
}

/** Until the standby has what the primary has written. */
async function followed(onPrimary: pg.Client, onStandby: pg.Client): Promise<void> {
  const { rows } = await onPrimary.query<{ lsn: string }>('select pg_current_wal_lsn()::text as lsn')
  const behind = async (): Promise<boolean> =>
    (await onStandby.query<{ behind: boolean }>('select coalesce(pg_last_wal_replay_lsn() < $1::pg_lsn, true) as behind', [rows[0]!.lsn]))
      .rows[0]!.behind
  await expect.poll(behind, { timeout: 10_000 }).toBe(false)
}

/** The address leads to the standby, and the primary is gone. */
async function failOver(): Promise<void> {
  address.setTargets({ port: standby.port })
  await primary.stop()
}

describe('a standby is promoted', () => {
  test(
    'a node goes on with it in a new epoch, says so to its clients, and old positions hold no more (rule D18)',
    { timeout: 60_000 },
    async () => {
      const [old, next] = [await session(primary), await session(standby)]
      const first = node()
      const channel = await join_(first)
      await old.query(`insert into notes values (1, 'both'), (2, 'both')`)
      await channel.received(2)
      const shared = channel.position
      await followed(old, next)
      // What the standby never gets.
      following.cut()
      await old.query(FILLER)
      await old.query(`insert into notes select n, 'old timeline' from generate_series(3, 12) n`)
      await channel.received(12)
      const lost = channel.position
      // It begins where the new timeline will not be for long.
      const late = await join_(first)
      const { epoch } = first.feed.source
      const [anchor] = await anchorsOf(old)
      await failOver()
      await expect
        .poll(() => first.feed.source.status, { timeout: 15_000 })
        .toMatchObject({ kind: 'waiting', fault: { message: expect.stringMatching(STANDBY) } })
      expect(await anchorsOf(next)).toEqual([])
      await next.query('select pg_promote()')
      await channel.until(() => channel.gaps.length > 0, 'the gap', 20_000)
      expect(channel.gaps).toEqual(['slot-created'])
      await channel.until(
        () => channel.systems.filter(({ message }) => message === 'Subscribed to PostgreSQL').length === 2,
        'the subscription',
      )
      expect(first.feed.source.epoch).not.toBe(epoch)
      expect((await anchorsOf(next)).map(({ name }) => name)).not.toEqual([anchor!.name])
      await next.query(`insert into notes values (3, 'new timeline')`)
      await channel.received(13)
      await late.received(1)
      for (const changes of [channel.changes.slice(12), late.changes])
        expect(changes.map(({ data }) => data.record)).toEqual([{ id: 3, body: 'new timeline' }])
      // Whether or not the new timeline has the change: a position does not say to which of the two it belongs.
      for (const since of [shared, lost]) {
        const again = await join_(first, since)
        expect(again.outcome).toBe('other-epoch')
        expect(again.changes).toEqual([])
      }
      expect((await join_(first, channel.position)).outcome).toBe(true)
      expect(await anchorsOf(next)).toHaveLength(1)
    },
  )

  test('nodes move to one epoch, and one that starts later resumes their clients', { timeout: 60_000 }, async () => {
    const [old, next] = [await session(primary), await session(standby)]
    const nodes = [node(), node()]
    const channels = await Promise.all(nodes.map((each) => join_(each)))
    await old.query(`insert into notes values (1)`)
    await Promise.all(channels.map((channel) => channel.received(1)))
    await followed(old, next)
    await failOver()
    await next.query('select pg_promote()')
    await Promise.all(channels.map((channel) => channel.until(() => channel.gaps.length > 0, 'the gap', 20_000)))
    await Promise.all(
      channels.map((channel) =>
        channel.until(() => channel.systems.filter(({ message }) => message === 'Subscribed to PostgreSQL').length >= 2),
      ),
    )
    expect(new Set(nodes.map(({ feed }) => feed.source.epoch)).size).toBe(1)
    expect(await anchorsOf(next)).toHaveLength(1)
    await next.query(`insert into notes values (2)`)
    await Promise.all(channels.map((channel) => channel.received(2)))
    const before = channels[0]!.position
    await next.query(`insert into notes values (3)`)
    const again = await join_(node(), before)
    await again.received(1)
    expect(again.outcome).toBe(true)
    expect(again.ids).toEqual([3])
    expect(channels.flatMap(({ gaps }) => gaps)).toHaveLength(2)
  })

  test('messages from SQL go on where the new timeline is behind the old one, once each', { timeout: 60_000 }, async () => {
    const [old, next] = [await session(primary), await session(standby)]
    await followed(old, next)
    following.cut()
    await old.query(FILLER)
    // It has begun where the standby will not be for long.
    const first = node()
    await join_(first)
    await storeMessage(old, 'old')
    await expect.poll(() => first.messages, { timeout: 10_000 }).toEqual(['old'])
    const before = await positionAt(old)
    expect(before!.log).toBe(first.feed.source.log)
    expect(await positionAt(next)).toBeNull()
    await failOver()
    await next.query('select pg_promote()')
    await expect.poll(() => first.feed.source.status.kind, { timeout: 20_000 }).toBe('streaming')
    // A channel that joined on the old timeline is further than this, and gets what comes all the same: it is another log (rule R5).
    const after = await positionAt(next)
    expect(after!.lsn).toBeLessThan(before!.lsn)
    expect(after!.log).not.toBe(before!.log)
    expect(first.feed.source.log).toBe(after!.log)
    await storeMessage(next, 'new')
    await expect.poll(() => first.messages, { timeout: 10_000 }).toEqual(['old', 'new'])
  })

  test('sessions that are still open on the primary are asked nothing more', { timeout: 60_000 }, async () => {
    const [old, next] = [await session(primary), await session(standby)]
    const first = node()
    const channel = await join_(first)
    await old.query(`insert into notes values (1, 'both')`)
    await channel.received(1)
    await followed(old, next)
    following.cut()
    await old.query(`insert into notes values (2, 'old timeline')`)
    await channel.received(2)
    // It still runs, and only what reads its log is cut off.
    address.redirect({ port: standby.port })
    await next.query('select pg_promote()')
    await old.query(`select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'tidewire feed%'`)
    await channel.until(() => channel.gaps.length > 0, 'the gap', 20_000)
    await next.query(`insert into notes values (2, 'new timeline')`)
    await channel.received(3)
    expect(channel.changes[2]!.data.record).toEqual({ id: 2, body: 'new timeline' })
    expect(channel.changes[2]!.data.superseded).toBeUndefined()
    const { rows } = await old.query(
      `select application_name from pg_stat_activity where application_name ~ '^tidewire (check|catalog|feed)'`,
    )
    expect(rows).toEqual([])
  })

  test('a client that resumes meanwhile is answered', { timeout: 60_000 }, async () => {
    const [old, next] = [await session(primary), await session(standby)]
    const first = node()
    const channel = await join_(first)
    await old.query(`insert into notes values (1)`)
    await channel.received(1)
    await followed(old, next)
    following.cut()
    await old.query(FILLER)
    // It waits for what the stream has not brought, which is ahead of everything that the new timeline will have.
    first.feed.source.pause()
    await old.query(`insert into notes values (2)`)
    const { rows } = await old.query<{ now: Date }>('select now()')
    const resuming = new TestChannel(first.feed, {
      entries: [NOTES],
      identity: asRole('anon'),
      positions: true,
      since: channel.position,
    })
    const isWaiting = async (): Promise<boolean> =>
      (
        await old.query(
          `select from pg_stat_activity where application_name = 'tidewire catalog' and query like '%wal_flush_lsn%' and query_start > $1 and state = 'idle'`,
          [rows[0]!.now],
        )
      ).rows.length > 0
    await expect.poll(isWaiting, { timeout: 10_000 }).toBe(true)
    await failOver()
    first.feed.source.resume()
    await next.query('select pg_promote()')
    await resuming.until(() => resuming.ready, 'an answer', 30_000)
    expect(resuming.outcome).toBe('other-epoch')
  })
})

test('the timeline alone is another epoch, and what both have does not come again', { timeout: 60_000 }, async () => {
  const sql = await session(primary)
  const first = node()
  const channel = await join_(first)
  await sql.query(`insert into notes values (1), (2)`)
  await storeMessage(sql, 'old')
  await channel.received(2)
  await expect.poll(() => first.messages, { timeout: 10_000 }).toEqual(['old'])
  const before = channel.position
  const { epoch } = first.feed.source
  const [anchor] = await anchorsOf(sql)
  await sql.end()
  // It recovers as a standby would, with its slots, and is promoted.
  await primary.stop()
  await makeStandby(join(base, 'primary'))
  primary = await startEmbeddedPostgres({ installation, dataDir: join(base, 'primary'), port: primary.port, settings: SETTINGS })
  const again = await session(primary)
  await again.query('select pg_promote()')
  await channel.until(() => channel.gaps.length > 0, 'the gap', 20_000)
  expect(channel.gaps).toEqual(['slot-replaced'])
  expect((await anchorsOf(again)).map(({ name }) => name)).toEqual([anchor!.name])
  expect(first.feed.source.epoch).not.toBe(epoch)
  expect((await join_(first, before)).outcome).toBe('other-epoch')
  await again.query(`insert into notes values (3)`)
  await storeMessage(again, 'new')
  await channel.received(3)
  await expect.poll(() => first.messages, { timeout: 10_000 }).toEqual(['old', 'new'])
  expect(channel.ids).toEqual([1, 2, 3])
})

describe('a standby that is not promoted', () => {
  test(
    'is no database to read changes from: a sentence, tried again, and it goes on once it is promoted',
    { timeout: 60_000 },
    async () => {
      const next = await session(standby)
      address.setTargets({ port: standby.port })
      const first = node()
      const waits = (): number => first.statuses.filter(({ kind }) => kind === 'waiting').length
      await expect.poll(waits, { timeout: 15_000 }).toBeGreaterThan(0)
      expect(first.feed.source.status).toMatchObject({
        kind: 'waiting',
        fault: { kind: 'restarting', message: expect.stringMatching(STANDBY) },
      })
      expect(first.feed.changeFeed.progress!().unready).toEqual(expect.any(String))
      await expect.poll(waits, { timeout: 15_000 }).toBeGreaterThan(2)
      await primary.stop()
      await next.query('select pg_promote()')
      const channel = await join_(first)
      await next.query(`insert into notes values (1)`)
      await channel.received(1)
      expect(channel.gaps).toEqual([])
    },
  )
})
