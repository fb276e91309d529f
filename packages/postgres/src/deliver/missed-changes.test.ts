/** What is withheld from a channel is never called complete. */
import { afterEach, expect, test } from 'vitest'
import { FakeDatabase, FakeFeed, fastRuntime, ownRows, until, type FakeChannel } from '../../test/fake-feed.ts'
import { asRole } from '../../test/feed.ts'

const [OWN, OPEN] = [1, 2]
const OPEN_TABLE = { oid: OPEN, name: 'open', columns: [{ name: 'id' }], policy: null }

let feeds: FakeFeed[] = []
afterEach(() => {
  for (const feed of feeds) feed.close()
  feeds = []
})

function start(factor: number): FakeFeed {
  const database = new FakeDatabase()
  database.add({ ...ownRows(OWN), policy: (sub, { owner, body }) => (body === `slow for ${sub}` ? 'too slow' : owner === 'all') })
  database.add(OPEN_TABLE)
  const it = new FakeFeed(database, fastRuntime(factor))
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
  const before = await shown(it, mine, '1')
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
  expect(await answerTo(it, 'me', during)).toMatchObject(WITHHELD)
  expect(await answerTo(it, 'you', during)).toMatchObject(RECOVERED)
  // A channel that stays hears of it at once, and when the circuit closes.
  const stayed = join(it, 'me')
  await ready(stayed)
  it.commit([{ oid: OWN, texts: ['5', 'all', ''] }])
  await until(
    () => gaps(stayed) === 2,
    () => stayed,
  )
  for (const since of [before, during]) expect(await answerTo(it, 'me', since)).toMatchObject(WITHHELD)
  const after = await shown(it, stayed, '6')
  expect(await answerTo(it, 'me', after)).toMatchObject(RECOVERED)
})

test.each([
  { others: 'others stay', stay: true },
  { others: 'nobody stays', stay: false },
])('changes of a table that could not be loaded, and a client that comes back when it can: $others', async ({ stay }) => {
  const it = start(100)
  const [mine, witness] = [join(it, 'me'), stay ? join(it, 'you') : null]
  await ready(mine)
  if (witness !== null) await ready(witness)
  await shown(it, mine, '0')
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
  const fresh = join(it, 'me')
  await ready(fresh)
  // Once the feed has looked for all who watch the table.
  let answer: Readonly<Record<string, unknown>> | undefined
  for (let id = 3; answer?.['recovered'] !== true; id++) answer = await answerTo(it, 'me', await shown(it, fresh, String(id)))
  expect(answer).toMatchObject(RECOVERED)
})

test('a role that is taken from users, given back and taken again: each time they hear of it', async () => {
  const it = start(100)
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
    it.database.forbidden.clear()
    it.database.add(it.database.tables.get(OWN)!)
    it.commit([{ oid: OWN, texts: ['2', 'all', ''] }])
    await until(
      () => gaps(mine) === round && mine.changes.length === round,
      () => mine,
    )
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
  const wild = it.open({ entries: [{ event: '*', schema: 'public', table: '*' }] })
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
  it.database.intercept = () => {}
  await until(
    () => gaps(wild) === 1,
    () => wild,
  )
  it.commit([{ oid: 3, texts: ['3'] }])
  await until(
    () => wild.changes.length === 2,
    () => wild,
  )
  expect(wild.changes.map(({ record }) => record!['id'])).toEqual(['1', '3'])
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
