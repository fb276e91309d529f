/** The feed on a database in memory: what goes wrong stays where it is. */
import { afterEach, expect, test } from 'vitest'
import { FakeDatabase, FakeFeed, fastRuntime, ownRows, until, type FakeChannel, type FakeTable } from '../test/fake-feed.ts'
import { asRole } from '../test/feed.ts'

const [OWN, OPEN] = [1, 2]

/** A table without policies. */
const openTable = (name = 'open', type: 'int4' | 'text' = 'int4'): FakeTable => ({
  oid: OPEN,
  name,
  columns: [
    { name: 'id', type: 'int4' },
    { name: 'n', type },
  ],
  policy: null,
})

let feeds: FakeFeed[] = []
afterEach(() => {
  for (const feed of feeds) feed.close()
  feeds = []
})

function start(options: ConstructorParameters<typeof FakeFeed>[2] = {}): FakeFeed {
  const database = new FakeDatabase()
  database.add(ownRows(OWN))
  database.add(openTable())
  const it = new FakeFeed(database, fastRuntime(100), options)
  feeds.push(it)
  return it
}

const of = (table: string, more: object = {}): object => ({ event: '*', schema: 'public', table, ...more })
const user = (sub: string): ReturnType<typeof asRole> => asRole('authenticated', { sub })
const ids = ({ changes }: FakeChannel): unknown[] => changes.map(({ record }) => record!['id'])
const ready = (...channels: FakeChannel[]): Promise<void> =>
  until(
    () => channels.every(({ isReady }) => isReady),
    () => channels.map(({ systems }) => systems),
  )
const received = (channel: FakeChannel, count: number): Promise<void> =>
  until(
    () => channel.changes.length >= count,
    () => channel,
  )
const reject = (code: string): Promise<never> => Promise.reject(Object.assign(new Error('refused'), { code }))

test('a fault, and others while it is narrowed down: all rows but one come, and that one is notified', async () => {
  const it = start()
  const [mine, open] = [it.open({ entries: [of('own')], identity: user('me') }), it.open({ entries: [of('open')] })]
  await ready(mine, open)
  it.commit([{ oid: OWN, texts: ['0', 'me', ''] }])
  await received(mine, 1)
  let calls = 0
  const port = it.database.intercept
  it.database.intercept = (name) => {
    // The whole, its first half, and the first row alone.
    if (name === 'checkRows' && calls++ < 3) return reject('XX000')
    return undefined
  }
  it.commit(Array.from({ length: 4 }, (_, n) => ({ oid: OWN, texts: [String(n + 1), 'me', ''] })))
  it.commit([{ oid: OPEN, texts: ['9', '1'] }])
  await received(open, 1)
  await until(
    () => mine.systems.some(({ extra }) => extra?.['resync'] === true),
    () => mine,
  )
  expect(ids(mine)).toEqual(['0', '2', '3', '4'])
  it.database.intercept = port
  it.commit([{ oid: OWN, texts: ['5', 'me', ''] }])
  await until(
    () => ids(mine).includes('5'),
    () => mine,
  )
  expect(it.feed.progress().trouble).toBeNull()
})

test('a row that can never be decided is skipped, and notified with a code', async () => {
  const it = start()
  const mine = it.open({ entries: [of('own')], identity: user('me') })
  await ready(mine)
  it.database.intercept = (name) => (name === 'checkRows' ? reject('XX000') : undefined)
  it.commit([{ oid: OWN, texts: ['1', 'me', ''] }])
  await until(
    () => mine.systems.some(({ extra }) => extra?.['code'] === 'changes-withheld'),
    () => mine,
  )
  it.database.intercept = () => {}
  it.commit([{ oid: OWN, texts: ['2', 'me', ''] }])
  await received(mine, 1)
  expect(ids(mine)).toEqual(['2'])
  expect(it.faults.join()).toContain('row public.own XX000: refused')
})

test('a column whose type changes between two rows of one transaction, under a filter', async () => {
  const it = start()
  const [filtering, bystander] = [
    it.open({ entries: [of('open', { filter: 'n=gt.5' })] }),
    it.open({ entries: [of('own')], identity: user('me') }),
  ]
  await ready(filtering, bystander)
  it.commit([{ oid: OPEN, texts: ['1', '7'] }])
  await received(filtering, 1)
  // A text that is no integer reaches a filter on integers: what the filter makes of it is Postgres's to say.
  it.commit([
    { oid: OPEN, texts: ['2', '5.5'] },
    { oid: OPEN, texts: ['3', '8'] },
    { oid: OWN, texts: ['1', 'me', ''] },
  ])
  await Promise.all([received(filtering, 2), received(bystander, 1)])
  expect(ids(filtering)).toEqual([1, 3])
  it.database.add(openTable('open', 'text'))
  const casts = it.database.calls.filter((name) => name === 'castFilter').length
  it.commit([{ oid: OPEN, texts: ['4', '5'] }])
  await until(
    () => it.database.calls.filter((name) => name === 'castFilter').length > casts,
    () => it.database.calls,
  )
})

test('a listener, an observer, a log and a consumer of rows that throw stop nothing', async () => {
  const it = start({
    onFault: () => {
      throw new Error('the log is full')
    },
  })
  it.feed.observe(() => {
    throw new Error('the observer fails')
  })
  const bad = it.open({ entries: [of('open')] }, () => {
    throw new Error('the listener fails')
  })
  const good = it.open({ entries: [of('open')] })
  await ready(bad, good)
  for (const id of ['1', '2', '3']) it.commit([{ oid: OPEN, texts: [id, '1'] }])
  await received(good, 3)
  expect(ids(bad)).toEqual([1, 2, 3])
})

test('a commit time that no Date holds', async () => {
  const it = start()
  const open = it.open({ entries: [of('open')] })
  await ready(open)
  for (const time of [2n ** 62n, -(2n ** 62n), 0n]) it.commit([{ oid: OPEN, texts: ['1', '1'] }], time)
  await received(open, 3)
  expect(open.changes.map(({ commit_timestamp }) => Number.isNaN(Date.parse(commit_timestamp!)))).toEqual([false, false, false])
})

test(
  'many channels that come back at once for the same rows: each gets them all, in order, and decisions are shared',
  { timeout: 30_000 },
  async () => {
    const it = start({ resumeTimeoutMs: 1e9 })
    const CHANNELS = 300
    const ROWS = 600
    const first = it.open({ entries: [of('open')], positions: true })
    await ready(first)
    it.commit([{ oid: OPEN, texts: ['0', '0'] }])
    await received(first, 1)
    const { position } = first.changes[0]!
    for (let n = 1; n <= ROWS; n++) it.commit([{ oid: OPEN, texts: [String(n), '0'] }])
    await received(first, ROWS + 1)
    const before = it.database.calls.length
    const back = Array.from({ length: CHANNELS }, () => it.open({ entries: [of('open')], positions: true, since: position! }))
    // Changes come meanwhile.
    for (let n = ROWS + 1; n <= ROWS + 20; n++) {
      it.commit([{ oid: OPEN, texts: [String(n), '0'] }])
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    for (const channel of back)
      await until(
        () => channel.changes.length >= ROWS + 20,
        () => [channel.changes.length, channel.systems],
        20_000,
      )
    await ready(...back)
    const wanted = Array.from({ length: ROWS + 20 }, (_, n) => n + 1)
    for (const channel of back) {
      expect(ids(channel)).toEqual(wanted)
      expect(channel.systems.at(-1)!.extra).toMatchObject({ recovered: true })
    }
    // Not a decision for each of them.
    expect(it.database.calls.slice(before).filter((name) => name === 'checkVersions').length).toBeLessThan(CHANNELS)
  },
)

test('what was decided for one identity is not replayed to the next one of the channel', async () => {
  const it = start()
  const first = it.open({ entries: [of('own')], identity: user('me'), positions: true })
  await ready(first)
  it.commit([{ oid: OWN, texts: ['0', 'me', ''] }])
  await received(first, 1)
  it.commit([
    { oid: OWN, texts: ['1', 'me', ''] },
    { oid: OWN, texts: ['2', 'you', ''] },
  ])
  await received(first, 2)
  let answer = (): void => {}
  let isAsked = false
  it.database.intercept = (name) => {
    if (name !== 'checkRows') return undefined
    isAsked = true
    return new Promise<void>((resolve) => (answer = resolve))
  }
  const back = it.open({ entries: [of('own')], identity: user('me'), positions: true, since: first.changes[0]!.position! })
  await until(
    () => isAsked,
    () => it.database.calls,
  )
  it.database.intercept = () => {}
  back.setIdentity(user('you'))
  answer()
  await ready(back)
  expect(ids(back)).toEqual(['2'])
})

test('channels that resume wait no longer than they may, and then get an honest gap', async () => {
  const it = start({ resumeTimeoutMs: 500 })
  const first = it.open({ entries: [of('own')], identity: user('me'), positions: true })
  await ready(first)
  it.commit([{ oid: OWN, texts: ['1', 'me', ''] }])
  await received(first, 1)
  it.commit([{ oid: OWN, texts: ['2', 'me', ''] }])
  await received(first, 2)
  it.database.intercept = (name) => (name === 'checkRows' ? reject('57P03') : undefined)
  const back = it.open({ entries: [of('own')], identity: user('me'), positions: true, since: first.changes[0]!.position! })
  await ready(back)
  expect(back.systems.at(-1)!.extra).toMatchObject({ recovered: false, reason: 'too-many-replays' })
  it.database.intercept = () => {}
})

test('a part that has work and makes no progress is reported', async () => {
  const it = start({ stuckAfterMs: 10_000 })
  const open = it.open({ entries: [of('open')] })
  await ready(open)
  let answer = (): void => {}
  it.database.intercept = (name) => (name === 'checkVersions' ? new Promise<void>((resolve) => (answer = resolve)) : undefined)
  // The database is asked again after ten seconds, and hangs again.
  it.commit([{ oid: OPEN, texts: ['1', '1'] }])
  await until(
    () => it.faults.some((fault) => fault.startsWith('stuck')),
    () => it.faults,
  )
  expect(it.feed.progress().degraded).toMatch(/no progress|does not answer/)
  it.database.intercept = () => {}
  answer()
  await received(open, 1)
  await until(
    () => it.feed.progress().degraded === null,
    () => it.feed.progress(),
  )
})

test('a table that leaves the publication and comes back: the others go on, and the channel hears of both', async () => {
  const it = start({ refreshIntervalMs: 2_000 })
  const both = it.open({ entries: [of('own'), of('open')], identity: user('me') })
  await ready(both)
  it.database.published = new Set([OWN])
  await until(
    () => both.systems.some(({ extra }) => extra?.['code'] === 'not-published'),
    () => both,
  )
  it.commit([{ oid: OWN, texts: ['1', 'me', ''] }])
  await received(both, 1)
  it.database.published = new Set([OWN, OPEN])
  await until(
    () => both.systems.some(({ extra }) => extra?.['reason'] === 'table-returned'),
    () => both,
  )
  it.commit([{ oid: OPEN, texts: ['2', '1'] }])
  await received(both, 2)
})

test('ten thousand subscriptions of a table that is dropped', async () => {
  const it = start({ refreshIntervalMs: 2_000 })
  const many = Array.from({ length: 1_000 }, () => it.open({ entries: Array.from({ length: 10 }, () => of('open')) }))
  const other = it.open({ entries: [of('own')], identity: user('me') })
  await ready(...many, other)
  it.database.tables.delete(OPEN)
  it.database.published = new Set([OWN])
  await until(
    () => many.every(({ systems }) => systems.some(({ extra }) => extra?.['code'] === 'not-published')),
    () => many.length,
  )
  expect(many.every(({ systems }) => systems.length === 2)).toBe(true)
  it.commit([{ oid: OWN, texts: ['1', 'me', ''] }])
  await received(other, 1)
})

test('rows of a renamed table do not reach its old name', async () => {
  const it = start()
  const old = it.open({ entries: [of('open')] })
  const wild = it.open({ entries: [of('*')], identity: user('me') })
  await ready(old, wild)
  it.database.add(openTable('renamed'))
  it.commit([{ oid: OPEN, texts: ['1', '1'] }])
  await received(wild, 1)
  expect(wild.changes[0]!.table).toBe('renamed')
  expect(old.changes).toEqual([])
  expect(old.systems.at(-1)!.extra).toMatchObject({ live: true, code: 'not-published' })
})

test('the order of a channel is kept though some of its changes are decided in isolation', async () => {
  const it = start()
  const mine = it.open({ entries: [of('own', { filter: 'body=like.b%' }), of('open')], identity: user('me') })
  const other = it.open({ entries: [of('open')] })
  await ready(mine, other)
  let answer = (): void => {}
  it.database.intercept = (name) => (name === 'isolated.testFilters' ? new Promise<void>((resolve) => (answer = resolve)) : undefined)
  it.commit([{ oid: OWN, texts: ['1', 'me', 'b'] }])
  it.commit([{ oid: OPEN, texts: ['2', '1'] }])
  // No other channel waits.
  await received(other, 1)
  expect(mine.changes).toEqual([])
  it.database.intercept = () => {}
  answer()
  await received(mine, 2)
  expect(mine.changes.map(({ table }) => table)).toEqual(['own', 'open'])
})

test('the order of a channel is kept within one transaction of which some changes are decided in isolation', async () => {
  const it = start()
  const mine = it.open({ entries: [of('own', { filter: 'body=like.b%' }), of('open')], identity: user('me') })
  await ready(mine)
  it.commit([
    { oid: OWN, texts: ['1', 'me', 'b'] },
    { oid: OPEN, texts: ['2', '1'] },
  ])
  await received(mine, 2)
  it.commit([
    { oid: OPEN, texts: ['3', '1'] },
    { oid: OWN, texts: ['4', 'me', 'b'] },
    { oid: OPEN, texts: ['5', '1'] },
  ])
  await received(mine, 5)
  expect(ids(mine)).toEqual(['1', 2, 3, '4', 5])
})

test('what is held for a former identity is not sent to the next one', async () => {
  const it = start()
  const entries = [of('own', { filter: 'body=like.b%' }), of('open')]
  const [mine, same] = [1, 2].map(() => it.open({ entries, identity: user('me') }))
  const other = it.open({ entries: [of('open')] })
  await ready(mine!, same!, other)
  let answer: (() => void) | null = null
  it.database.intercept = (name) => (name === 'isolated.testFilters' ? new Promise<void>((resolve) => (answer = resolve)) : undefined)
  it.commit([{ oid: OWN, texts: ['1', 'me', 'b'] }])
  await until(
    () => answer !== null,
    () => it.database.calls,
  )
  it.commit([{ oid: OPEN, texts: ['2', '1'] }])
  await received(other, 1)
  it.database.intercept = () => {}
  mine!.setIdentity(asRole('anon'))
  same!.setIdentity(user('me'))
  answer!()
  await received(same!, 2)
  await until(
    () => mine!.systems.some(({ extra }) => extra?.['resync'] === true),
    () => mine,
  )
  expect([ids(mine!), ids(same!)]).toEqual([[], ['1', 2]])
})

test('a channel that gets another identity while it resumes gets what it missed first, and everything once', async () => {
  const it = start()
  const open = { entries: [of('own')], identity: user('me'), positions: true }
  const first = it.open(open)
  await ready(first)
  it.commit([{ oid: OWN, texts: ['0', 'me', ''] }])
  await received(first, 1)
  first.close()
  const other = it.open(open)
  await ready(other)
  for (let n = 1; n <= 20; n++) it.commit([{ oid: OWN, texts: [String(n), 'me', ''] }])
  await received(other, 20)
  // Live changes come while the first step of the replay is being decided.
  const answers: (() => void)[] = []
  it.database.intercept = (name) => (name === 'checkRows' ? new Promise<void>((resolve) => void answers.push(resolve)) : undefined)
  const back = it.open({ ...open, since: first.changes[0]!.position! })
  await until(
    () => answers.length === 1,
    () => it.database.calls,
  )
  it.commit([{ oid: OWN, texts: ['21', 'me', ''] }])
  await until(
    () => answers.length === 2,
    () => it.database.calls,
  )
  it.database.intercept = () => {}
  back.setIdentity(user('me'))
  answers[1]!()
  await received(other, 21)
  answers[0]!()
  await received(back, 21)
  expect(ids(back)).toEqual(Array.from({ length: 21 }, (_, n) => String(n + 1)))
})

test('a renewed token moves no position past what is on its way', async () => {
  const it = start()
  const mine = it.open({ entries: [of('own')], identity: user('me'), positions: true })
  await ready(mine)
  expect(mine.systems[0]!.extra).toHaveProperty('position')
  mine.setIdentity(user('me'))
  await until(
    () => mine.systems.length === 2,
    () => mine,
  )
  expect(mine.systems[1]).toEqual({ status: 'ok', message: 'Subscribed to PostgreSQL' })
})

test('a channel that is refused by one token and accepted by the next hears that it missed something, and is followed again', async () => {
  const it = start()
  const mine = it.open({ entries: [of('own')], identity: user('me') })
  await ready(mine)
  it.database.published.delete(OWN)
  mine.setIdentity(user('me'))
  await until(
    () => mine.systems.at(-1)!.status === 'error',
    () => mine,
  )
  it.database.published.add(OWN)
  mine.setIdentity(user('me'))
  await until(
    () => mine.systems.filter(({ message }) => message === 'Subscribed to PostgreSQL').length === 2,
    () => mine,
  )
  expect(mine.systems.at(-2)!.extra).toMatchObject({ live: true, resync: true })
  it.feed.onEpoch({ epoch: 'e2', previous: 'e1', reason: 'lost', isOtherLog: false })
  await until(
    () => mine.systems.some(({ extra }) => extra?.['reason'] === 'slot-lost'),
    () => mine,
  )
})

test('a table that comes while a channel is planned is not missed', async () => {
  const it = start()
  const wild = it.open({ entries: [of('*')], identity: user('me') })
  await ready(wild)
  let isFirst = true
  it.database.intercept = async (name) => {
    if (name !== 'tables' || !isFirst) return
    isFirst = false
    it.database.add({ ...openTable('newcomer'), oid: 3 })
    it.commit([{ oid: 3, texts: ['1', '1'] }])
    await received(wild, 1)
  }
  const late = it.open({ entries: [of('*')], identity: user('me') })
  await ready(late)
  it.commit([{ oid: 3, texts: ['2', '1'] }])
  await received(late, 1)
  expect(ids(late)).toEqual([2])
})

test('a resume that comes to its end behind a new epoch is not called complete', async () => {
  const it = start()
  const first = it.open({ entries: [of('own')], identity: user('me'), positions: true })
  const open = it.open({ entries: [of('open')] })
  await ready(first, open)
  it.commit([{ oid: OWN, texts: ['1', 'me', ''] }])
  await received(first, 1)
  first.close()
  const { lsn } = it.database
  let answer: (() => void) | null = null
  it.database.intercept = (name) => (name === 'checkVersions' ? new Promise<void>((resolve) => (answer = resolve)) : undefined)
  it.commit([{ oid: OPEN, texts: ['2', '1'] }])
  await until(
    () => answer !== null,
    () => it.database.calls,
  )
  it.feed.onEpoch({ epoch: 'e2', previous: 'e1', reason: 'lost', isOtherLog: false })
  it.database.lsn = lsn
  const asked = it.database.calls.length
  const back = it.open({ entries: [of('own')], identity: user('me'), positions: true, since: first.changes[0]!.position! })
  await until(
    () => it.database.calls.slice(asked).includes('flushLsn'),
    () => it.database.calls,
  )
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  it.database.intercept = () => {}
  answer!()
  await ready(back)
  expect(back.systems.find(({ message }) => message === 'Subscribed to PostgreSQL')!.extra).toMatchObject({
    recovered: false,
    reason: 'other-epoch',
  })
})

test('a resume that is planned again in another log does not go on from a position of the former one', async () => {
  const it = start()
  const first = it.open({ entries: [of('own')], identity: user('me'), positions: true })
  await ready(first)
  it.commit([{ oid: OWN, texts: ['1', 'me', ''] }])
  await received(first, 1)
  first.close()
  let isFirst = true
  it.database.intercept = (name) => {
    if (name !== 'insertLsn' || !isFirst) return undefined
    isFirst = false
    it.feed.onEpoch({ epoch: 'e2', previous: 'e1', reason: 'lost', isOtherLog: true })
    return reject('57P01')
  }
  const back = it.open({ entries: [of('own')], identity: user('me'), positions: true, since: first.changes[0]!.position! })
  it.feed.onProgress(it.database.lsn + 1n)
  await ready(back)
  expect(back.systems.at(-1)!.extra).toMatchObject({ recovered: false, reason: 'other-epoch' })
})

test('channels of one audience that get another identity, and one of them again, miss nothing', async () => {
  const it = start()
  const [one, two] = [1, 2].map(() => it.open({ entries: [of('own')], identity: user('me') }))
  await ready(one!, two!)
  let asked = 0
  it.database.intercept = (name) => {
    if (name !== 'checkRows') return
    asked++
    if (asked === 1) for (const channel of [one!, two!]) channel.setIdentity(user('me'))
    if (asked === 2) one!.setIdentity(user('me'))
  }
  it.commit([{ oid: OWN, texts: ['1', 'me', ''] }])
  it.commit([{ oid: OWN, texts: ['2', 'me', ''] }])
  await Promise.all([received(one!, 2), received(two!, 2)])
  expect([ids(one!), ids(two!)]).toEqual([
    ['1', '2'],
    ['1', '2'],
  ])
})

test.each(['checkRows', 'isolated.checkRows'])(
  'a channel that changes its identity without end keeps no other waiting: %s',
  async (port) => {
    const it = start()
    const filter = port === 'checkRows' ? {} : { filter: 'body=like.b%' }
    const [one, two] = ['me', 'me'].map((sub) => it.open({ entries: [of('own', filter)], identity: user(sub) }))
    await ready(one!, two!)
    it.database.intercept = (name) => (name === port ? one!.setIdentity(user('me')) : undefined)
    it.commit([{ oid: OWN, texts: ['1', 'me', 'b'] }])
    await received(two!, 1)
    // On the ordered path it is decided about in isolation in the end; there it is notified of a gap.
    await until(
      () => one!.changes.length > 0 || one!.systems.some(({ extra }) => extra?.['resync'] === true),
      () => one,
    )
    expect(ids(one!)).toEqual(port === 'checkRows' ? ['1'] : [])
    it.database.intercept = () => {}
    it.commit([{ oid: OWN, texts: ['2', 'me', 'b'] }])
    await received(two!, 2)
    await until(
      () => ids(one!).at(-1) === '2',
      () => one,
    )
  },
)

test('of what is decided together in isolation, only what took too long is asked again', async () => {
  const it = start()
  const own = ownRows(OWN)
  it.database.add(openTable('open', 'text'))
  it.database.add({ ...own, policy: (sub, { owner, body }) => (sub === 'me' && body === 'b slow' ? 'too slow' : owner === sub) })
  const [entry, other] = [of('own', { filter: 'body=like.b%' }), of('open', { filter: 'n=like.5%' })]
  const one = it.open({ entries: [entry], identity: user('me') })
  const two = it.open({ entries: [entry, other], identity: user('me') })
  it.database.add({ ...openTable('held', 'text'), oid: 3 })
  const first = it.open({ entries: [of('held', { filter: 'n=like.z%' })] })
  const [third, open] = [it.open({ entries: [of('own')], identity: user('third') }), it.open({ entries: [of('open')] })]
  await ready(one, two, first, third, open)
  // While the first is being decided, two others come that are then decided together: one for both channels, one for the second.
  let answer: (() => void) | null = null
  it.database.intercept = (name) => (name === 'isolated.testFilters' ? new Promise<void>((resolve) => (answer = resolve)) : undefined)
  it.commit([{ oid: 3, texts: ['0', 'z'] }])
  await until(
    () => answer !== null,
    () => it.database.calls,
  )
  it.commit([
    { oid: OWN, texts: ['1', 'me', 'b slow'] },
    { oid: OWN, texts: ['2', 'third', 'x'] },
  ])
  await received(third, 1)
  it.commit([{ oid: OPEN, texts: ['3', '5'] }])
  await received(open, 1)
  it.database.intercept = () => {}
  two.setIdentity(user('you'))
  answer!()
  await received(two, 1)
  await until(
    () => one.systems.some(({ extra }) => extra?.['code'] === 'policy-failed'),
    () => one,
  )
  expect([ids(first), ids(one), ids(two)]).toEqual([[0], [], [3]])
})

test('a replay that the database interrupts, at any call, goes on where it was and is not called live before its end', async () => {
  const ROWS = 600
  const play = async (failing: number): Promise<readonly string[]> => {
    const it = start()
    const first = it.open({ entries: [of('own')], identity: user('me'), positions: true })
    await ready(first)
    it.commit([{ oid: OWN, texts: ['0', 'me', ''] }])
    await received(first, 1)
    first.close()
    for (let n = 1; n <= ROWS; n++) it.commit([{ oid: OWN, texts: [String(n), 'me', ''] }])
    const other = it.open({ entries: [of('open')] })
    await ready(other)
    it.commit([{ oid: OPEN, texts: ['1', '1'] }])
    await received(other, 1)
    const calls: string[] = []
    let down = false
    it.database.intercept = (name) => {
      calls.push(name)
      if (calls.length - 1 === failing) down = true
      if (down) throw Object.assign(new Error('gone'), { code: '57P01' })
    }
    const again = it.open({ entries: [of('own')], identity: user('me'), positions: true, since: first.changes[0]!.position! })
    let receivedAtReady = -1
    await until(
      () => down || again.isReady,
      () => again,
    )
    if (down) {
      // It is asked again, and again in vain.
      await until(
        () => calls.length > failing + 2,
        () => calls,
      )
      expect(again.isReady).toBe(false)
      down = false
    }
    await until(
      () => {
        if (again.isReady && receivedAtReady === -1) receivedAtReady = again.changes.length
        return again.isReady
      },
      () => again,
    )
    const untilReady = [...calls]
    expect(receivedAtReady).toBe(ROWS)
    expect(again.systems.at(-1)!.extra).toMatchObject({ recovered: true })
    it.commit([{ oid: OWN, texts: [String(ROWS + 1), 'me', ''] }])
    await received(again, ROWS + 1)
    expect(ids(again).map(Number)).toEqual(Array.from({ length: ROWS + 1 }, (_, n) => n + 1))
    return untilReady
  }
  const calls = await play(Infinity)
  expect(calls).toContain('insertLsn')
  expect(calls.filter((name) => name === 'checkRows').length).toBeGreaterThan(1)
  for (let at = 0; at < calls.length; at++) await play(at)
})

test('a join of more than 100 entries gives the event loop back between the steps of its subscription, and misses nothing', async () => {
  const turnsOf = async (count: number): Promise<number> => {
    const database = new FakeDatabase()
    database.add({ oid: OPEN, name: 'open', columns: [{ name: 'id' }, { name: 'n' }] })
    const runtime = fastRuntime(100)
    let given = 0
    const it = new FakeFeed(database, { ...runtime, endOfTurn: (callback) => (given++, runtime.endOfTurn(callback)) })
    feeds.push(it)
    const channel = it.open({ entries: Array.from({ length: count }, (_, n) => of('open', { filter: `n=eq.${n}` })) })
    await ready(channel)
    const turns = given
    it.commit([{ oid: OPEN, texts: ['1', `${count - 1}`] }])
    await received(channel, 1)
    return turns
  }
  const few = await turnsOf(1)
  expect([await turnsOf(99), await turnsOf(100), await turnsOf(101)]).toEqual([few, few, few + 2])
})
