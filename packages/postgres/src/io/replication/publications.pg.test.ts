/** Publications of every kind that a version of Postgres knows, created before the feed starts. */
import { afterEach, describe, expect, test } from 'vitest'
import { asRole, startFeed, type TestChannel, type TestFeed } from '../../../test/feed.ts'
import { usePostgres } from '../../../test/postgres.ts'

const postgres = usePostgres()

let it: TestFeed | null = null

afterEach(async () => {
  await it?.close()
  it = null
})

/**
 * A feed on a publication that is there before it starts: it would create one that is missing. `null` where this version of
 * Postgres has no such publication, which it says.
 */
async function startPublished(what: string, since: number): Promise<TestFeed | null> {
  const setup = `create table notes (id int primary key, n int, body text, twice int generated always as (n * 2) stored); grant select on notes to anon;
     alter default privileges in schema public grant select on tables to anon;
     drop publication supabase_realtime; create publication supabase_realtime for ${what}`
  const starting = startFeed(await postgres.createDatabase(), setup, { onFault: (fault) => console.log(JSON.stringify(fault)) })
  if (postgres.version < since) await expect(starting).rejects.toThrow('syntax error')
  else it = await starting
  return it
}

async function watch(feed: TestFeed, filter?: string): Promise<TestChannel> {
  const channel = feed.open({
    entries: [{ event: '*', schema: 'public', table: 'notes', ...(filter === undefined ? {} : { filter }) }],
    identity: asRole('anon'),
  })
  await channel.subscribed()
  return channel
}

test.each([
  ['all tables', 14],
  ['tables in schema public', 15],
])('for %s: those that are made later, too', async (what, since) => {
  const feed = await startPublished(what, since)
  if (feed === null) return
  const channel = feed.open({ entries: [{ event: 'INSERT', schema: 'public', table: '*' }], identity: asRole('anon') })
  await channel.subscribed()
  await feed.sql.query(`insert into notes values (1, 2)`)
  await channel.received(1)
  await feed.sql.query(`create table later (id int primary key); insert into later values (1)`)
  await channel.received(2)
  expect(channel.changes.map(({ data }) => [data.table, data.record])).toEqual([
    ['notes', { id: 1, n: 2, body: null, twice: 4 }],
    ['later', { id: 1 }],
  ])
  channel.handle.close()
})

test('a row filter: what it lets pass, and what comes to it and leaves it', async () => {
  const feed = await startPublished('table notes where (id > 0)', 15)
  if (feed === null) return
  const channel = await watch(feed)
  await feed.sql.query(`insert into notes values (-1, 1), (1, 1)`)
  await feed.sql.query(`update notes set id = 2 where id = -1`)
  await feed.sql.query(`update notes set id = -1 where id = 1`)
  await feed.sql.query(`delete from notes`)
  await channel.received(4)
  expect(channel.changes.map(({ data }) => [data.type, data.record?.['id'] ?? data.old_record?.['id']])).toEqual([
    ['INSERT', 1],
    ['INSERT', 2],
    ['DELETE', 1],
    ['DELETE', 2],
  ])
  channel.handle.close()
})

describe('a column list', () => {
  test('leaves out the others, and what is made from them', async () => {
    const feed = await startPublished('table notes (id, body)', 15)
    if (feed === null) return
    const channel = await watch(feed)
    await feed.sql.query(`insert into notes values (1, 7, 'a')`)
    await channel.received(1)
    expect(channel.changes[0]!.data.record).toEqual({ id: 1, body: 'a' })
    channel.handle.close()
  })

  test('a filter on a column that is left out lets nothing pass, which the channel hears', async () => {
    const feed = await startPublished('table notes (id, body)', 15)
    if (feed === null) return
    const [filtered, other] = [await watch(feed, 'n=eq.7'), await watch(feed, 'body=eq.a')]
    await feed.sql.query(`insert into notes values (1, 7, 'a')`)
    await other.received(1)
    expect(filtered.changes).toEqual([])
    const warning = 'Changes of public.notes are withheld: the publication leaves out n, which your filter looks at'
    expect(filtered.systems.at(-1)).toEqual({
      status: 'error',
      message: warning,
      extra: { live: true, code: 'filter-not-published', hint: expect.any(String) as string },
    })
    const late = await watch(feed, 'n=eq.7')
    await late.until(() => late.systems.some(({ message }) => message === warning))
    expect(other.systems).toHaveLength(1)
    for (const each of [filtered, other, late]) each.handle.close()
  })
})
