/** What is withheld from a channel is never called complete. */
import { afterEach, expect, test } from 'vitest'
import type { FeedOptions } from '../feed-options.ts'
import { FakeDatabase, FakeFeed, fastRuntime, ownRows, until, type FakeChannel } from '../../test/fake-feed.ts'
import { asRole } from '../../test/feed.ts'

const [OWN, OPEN] = [1, 2]
const OPEN_TABLE = { oid: OPEN, name: 'open', columns: [{ name: 'id' }], policy: null }

let feeds: FakeFeed[] = []
afterEach(() => {
  for (const feed of feeds) feed.close()
  feeds = []
})

function start(factor: number, options: Partial<FeedOptions> = {}): FakeFeed {
  const database = new FakeDatabase()
  database.add({ ...ownRows(OWN), policy: (sub, { owner, body }) => (body === `slow for ${sub}` ? 'too slow' : owner === 'all') })
  database.add(OPEN_TABLE)
  const it = new FakeFeed(database, fastRuntime(factor), options)
  feeds.push(it)
  return it
}

const user = (sub: string): ReturnType<typeof asRole> => asRole('authenticated', { sub })
const entries = ['own', 'open'].map((table) => ({ event: '*', schema: 'public', table }))
const join = (it: FakeFeed, sub: string, since: string | null = null): FakeChannel =>
  it.open({ entries, identity: user(sub), positions: true, since })
const says = (channel: FakeChannel, text: string): Promise<void> =>
  until(
    () => channel.systems.some((system) => JSON.stringify(system).includes(text)),
    () => channel,
  )
const ready = (channel: FakeChannel): Promise<void> => says(channel, 'Subscribed to PostgreSQL')
const gaps = ({ systems }: FakeChannel): number => systems.filter(({ extra }) => extra?.['reason'] === 'withheld').length

/** A row that everybody may see. Returns the position with which the channel got it. */
async function shown(it: FakeFeed, channel: FakeChannel, id: string): Promise<string> {
  it.commit([{ oid: OPEN, texts: [id] }])
  const found = (): FakeChannel['changes'][number] | undefined => channel.changes.find(({ record }) => record!['id'] === id)
  await until(
    () => found() !== undefined,
    () => channel,
  )
  return found()!.position!
}

/** The next one that says that something is withheld. */
async function incompletePosition({ systems }: FakeChannel): Promise<string> {
  const from = systems.length
  const found = (): string | undefined =>
    systems.slice(from).flatMap(({ extra }) => (String(extra?.['position']).endsWith('!') ? [extra!['position'] as string] : []))[0]
  await until(
    () => found() !== undefined,
    () => systems,
  )
  return found()!
}

/** What a channel of the user is told that comes back from there. */
async function answerTo(it: FakeFeed, sub: string, since: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  const channel = join(it, sub, since)
  await ready(channel)
  channel.close()
  return channel.systems.find(({ message }) => message === 'Subscribed to PostgreSQL')!.extra
}

const RECOVERED = { recovered: true }
const WITHHELD = { recovered: false, reason: 'withheld' }

test('changes withheld after the gap was announced, and a client that comes back from a later position', async () => {
  const it = start(1)
  const [mine, yours] = [join(it, 'me'), join(it, 'you')]
  await Promise.all([ready(mine), ready(yours)])
  await shown(it, mine, '1')
  it.commit([{ oid: OWN, texts: ['2', 'all', 'slow for me'] }])
  await says(mine, 'withheld')
  await until(
    () => gaps(mine) === 1,
    () => mine,
  )
  it.commit([{ oid: OWN, texts: ['3', 'all', ''] }])
  const during = await shown(it, mine, '4')
  expect(mine.changes.map(({ record }) => record!['id'])).toEqual(['1', '4'])
  mine.close()
  await until(
    () => yours.changes.length === 4,
    () => yours,
  )
  expect(await answerTo(it, 'you', yours.changes.at(-1)!.position!)).toMatchObject(RECOVERED)
  // Whichever server it comes back to.
  for (const at of [it, start(1)]) expect(await answerTo(at, 'me', during)).toMatchObject(WITHHELD)
  // A channel that stays hears of it at once, and when the circuit closes.
  const stayed = join(it, 'me')
  await ready(stayed)
  it.commit([{ oid: OWN, texts: ['5', 'all', ''] }])
  await until(
    () => gaps(stayed) === 2,
    () => stayed,
  )
  expect(await answerTo(it, 'me', during)).toMatchObject(WITHHELD)
  const after = await shown(it, stayed, '6')
  expect(await answerTo(it, 'me', after)).toMatchObject(RECOVERED)
})

test('a change withheld in a replay: what follows it says so before the gap is announced', async () => {
  const it = start(100)
  const yours = join(it, 'you')
  await ready(yours)
  const before = await shown(it, yours, '1')
  it.commit([{ oid: OWN, texts: ['2', 'all', 'slow for me'] }])
  await shown(it, yours, '3')
  const mine = join(it, 'me', before)
  await until(
    () => gaps(mine) > 0,
    () => mine,
  )
  expect(mine.changes.map(({ position }) => position!.endsWith('!'))).toEqual([true])
  expect(await answerTo(it, 'me', mine.changes[0]!.position!)).toMatchObject(WITHHELD)
})

test.each([
  { others: 'others stay', stay: true },
  { others: 'nobody stays', stay: false },
])('changes of a table that could not be loaded, and a client that comes back when it can: $others', async ({ stay }) => {
  const it = start(100)
  const [mine, witness] = [join(it, 'me'), stay ? join(it, 'you') : null]
  await ready(mine)
  if (witness !== null) await ready(witness)
  const before = await shown(it, mine, '0')
  it.database.add(it.database.tables.get(OWN)!)
  it.database.intercept = (name) => {
    if (name === 'tables') throw Object.assign(new Error('refused'), { code: 'XX000' })
  }
  it.commit([{ oid: OWN, texts: ['1', 'all', ''] }])
  await says(mine, 'the table could not be read')
  const during = await shown(it, mine, '2')
  mine.close()
  it.database.intercept = () => {}
  if (witness !== null)
    await until(
      () => gaps(witness) === 1,
      () => witness,
    )
  expect(await answerTo(it, 'me', during)).toMatchObject(WITHHELD)
  // Who was away all the time gets what the others missed, once the feed has looked for all who watch the table.
  while ((await answerTo(it, 'me', before))!['recovered'] !== true);
  const again = join(it, 'me', before)
  await says(again, 'recovered')
  expect(again.changes.map(({ record }) => record!['id'])).toEqual(['1', '2'])
  expect(await answerTo(it, 'me', await shown(it, again, '3'))).toMatchObject(RECOVERED)
})

test('a filter that does not fit its table for a while', async () => {
  const it = start(100)
  const filtered = (since: string | null = null): FakeChannel =>
    it.open({
      entries: [
        { event: '*', schema: 'public', table: 'own', filter: 'body=eq.x' },
        { event: '*', schema: 'public', table: 'open' },
      ],
      ...{ identity: user('me'), positions: true, since },
    })
  const mine = filtered()
  await ready(mine)
  const own = it.database.tables.get(OWN)!
  it.database.add({ ...own, columns: [{ name: 'id' }, { name: 'owner' }, { name: 'text' }] })
  it.commit([{ oid: OWN, texts: ['1', 'all', 'x'] }])
  await says(mine, 'your filter does not fit')
  const during = await shown(it, mine, '2')
  it.database.add(own)
  it.commit([{ oid: OWN, texts: ['3', 'all', 'x'] }])
  await until(
    () => mine.changes.length === 2,
    () => mine,
  )
  expect(gaps(mine)).toBe(1)
  const after = await shown(it, mine, '4')
  for (const [since, answer] of [
    [during, WITHHELD],
    [after, RECOVERED],
  ] as const) {
    const again = filtered(since)
    await ready(again)
    expect(again.systems.find(({ message }) => message === 'Subscribed to PostgreSQL')!.extra).toMatchObject(answer)
  }
})

test.each([
  { version: 'a new version', isNew: true },
  { version: 'the version of before', isNew: false },
])('channels that come to a table, and leave it, while $version of it cannot be read', async ({ isNew }) => {
  const it = start(100, isNew ? {} : { refreshIntervalMs: 1_000 })
  const mine = it.open({ entries: [{ event: '*', schema: 'public', table: '*' }], identity: user('me'), positions: true })
  await ready(mine)
  const before = await shown(it, mine, '0')
  it.commit([{ oid: OWN, texts: ['1', 'all', ''] }])
  await until(
    () => mine.changes.length === 2,
    () => mine,
  )
  if (isNew) it.database.add(it.database.tables.get(OWN)!)
  // It is looked up with the other table when a channel subscribes to both.
  it.database.intercept = (name, oids) => {
    if (name === 'tables' && oids.includes(OWN) && oids.length === 1) throw Object.assign(new Error('refused'), { code: 'XX000' })
  }
  while (!mine.systems.some(({ message }) => message.includes('the table could not be read'))) {
    it.commit([{ oid: OWN, texts: ['2', 'all', ''] }])
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  expect(await shown(it, mine, '3')).toMatch(/!$/)
  for (const since of [null, before]) {
    const other = join(it, 'me', since)
    await ready(other)
    expect(other.systems[0]!.extra!['position']).toMatch(/!$/)
    expect(other.systems[0]!.extra!['reason']).toBe(since === null ? undefined : 'withheld')
    other.close()
  }
  expect(gaps(mine)).toBe(0)
  it.database.published.delete(OWN)
  mine.setIdentity(user('me'))
  await until(
    () => gaps(mine) === 1,
    () => mine,
  )
  expect(await shown(it, mine, '4')).not.toMatch(/!$/)
})

test('a role that is taken from users, given back and taken again: each time they hear of it', async () => {
  const it = start(100, { positionIntervalMs: 1_000 })
  const mine = join(it, 'me')
  await ready(mine)
  const withheld = (): number => mine.systems.filter(({ message }) => message.includes('role')).length
  for (const round of [1, 2]) {
    it.database.forbidden.add('authenticated')
    it.database.add(it.database.tables.get(OWN)!)
    it.commit([{ oid: OWN, texts: ['1', 'all', ''] }])
    await until(
      () => withheld() === round,
      () => mine,
    )
    const during = await incompletePosition(mine)
    it.database.forbidden.clear()
    it.database.add(it.database.tables.get(OWN)!)
    it.commit([{ oid: OWN, texts: ['2', 'all', ''] }])
    await until(
      () => gaps(mine) === round && mine.changes.length === round,
      () => mine,
    )
    expect(await answerTo(it, 'me', during)).toMatchObject(WITHHELD)
    expect(await answerTo(it, 'me', mine.changes.at(-1)!.position!)).toMatchObject(RECOVERED)
  }
  expect(mine.changes.map(({ record }) => record!['id'])).toEqual(['2', '2'])
})

test('a channel that was refused before it was live is planned again with the next token', async () => {
  const it = start(100)
  it.database.published.clear()
  const mine = join(it, 'me')
  await says(mine, 'error')
  it.database.published.add(OWN).add(OPEN)
  mine.setIdentity(user('me'))
  mine.setIdentity(user('me'))
  await ready(mine)
  await shown(it, mine, '1')
  expect(mine.systems.filter(({ status }) => status === 'ok')).toHaveLength(1)
})

test('a new table that could not be read: channels that name it by a pattern hear that they missed something of it', async () => {
  const it = start(100)
  const wild = it.open({ entries: [{ event: '*', schema: 'public', table: '*' }], positions: true })
  await ready(wild)
  await shown(it, wild, '1')
  it.database.add({ oid: 3, name: 'new', columns: [{ name: 'id' }], policy: null })
  it.database.intercept = (name) => {
    if (name === 'tables') throw Object.assign(new Error('refused'), { code: 'XX000' })
  }
  it.commit([{ oid: 3, texts: ['2'] }])
  await until(
    () => it.faults.length > 0,
    () => it.faults,
  )
  expect(await shown(it, wild, 'during')).toMatch(/!$/)
  it.database.intercept = () => {}
  await until(
    () => gaps(wild) === 1,
    () => wild,
  )
  it.commit([{ oid: 3, texts: ['3'] }])
  await until(
    () => wild.changes.length === 3,
    () => wild,
  )
  expect(wild.changes.map(({ record }) => record!['id'])).toEqual(['1', 'during', '3'])
})

test('a gap of a channel that is not subscribed yet is announced after the answer', async () => {
  const it = start(100)
  let isFirst = true
  it.database.intercept = async (name) => {
    if (name !== 'insertLsn' || !isFirst) return
    isFirst = false
    it.commit([{ oid: OWN, texts: ['1', 'all', 'slow for me'] }])
    await until(
      () => it.faults.length > 0,
      () => it.faults,
    )
  }
  const mine = join(it, 'me')
  await until(
    () => gaps(mine) > 0,
    () => mine,
  )
  expect(mine.systems.filter(({ extra }) => extra?.['live'] !== true || extra['resync'] === true)[0]!.message).toBe(
    'Subscribed to PostgreSQL',
  )
})

test.each([
  { what: 'is no longer published', leave: ({ published }: FakeDatabase) => published.delete(OPEN), missed: true },
  { what: 'was renamed', leave: (database: FakeDatabase) => database.add({ ...OPEN_TABLE, name: 'renamed' }), missed: true },
  { what: 'is there as before', leave: () => {}, missed: false },
  {
    what: 'was made again under its name',
    leave: (database: FakeDatabase) => {
      database.published.delete(OPEN)
      database.add({ ...OPEN_TABLE, oid: 3 })
    },
    missed: true,
  },
])('a table that changed and then $what while a client that names it by a pattern was away', async ({ leave, missed }) => {
  const it = start(100)
  const named = (since: string | null): FakeChannel =>
    it.open({ entries: [{ event: '*', schema: 'public', table: 'o%n' }], identity: user('me'), positions: true, since })
  const mine = named(null)
  await ready(mine)
  const before = await shown(it, mine, '1')
  mine.close()
  const witness = join(it, 'you')
  await ready(witness)
  const between = await shown(it, witness, '2')
  leave(it.database)
  const answers: unknown[] = []
  for (const since of [before, between]) {
    const again = named(since)
    await ready(again)
    again.close()
    answers.push(again.systems.find(({ message }) => message === 'Subscribed to PostgreSQL')!.extra)
  }
  expect(answers).toEqual([
    expect.objectContaining(missed ? { recovered: false, reason: 'publication-changed' } : RECOVERED),
    expect.objectContaining(RECOVERED),
  ])
})
