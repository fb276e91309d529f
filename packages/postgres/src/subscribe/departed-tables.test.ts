/** Tables that are dropped, renamed or taken out of the publication. */
import { expect, test } from 'vitest'
import { until, type FakeDatabase } from '../../test/fake-feed.ts'
import {
  answerOf,
  closeFeeds,
  failAlone,
  gaps,
  hasGaps,
  join,
  joinNamed,
  OPEN,
  OPEN_TABLE,
  OWN,
  ready,
  RECOVERED,
  says,
  shown,
  start,
  user,
} from '../../test/two-tables.ts'

closeFeeds()

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
  const mine = joinNamed(it, 'o%n')
  await ready(mine)
  const before = await shown(it, mine, '1')
  mine.close()
  const witness = join(it, 'you')
  await ready(witness)
  const between = await shown(it, witness, '2')
  leave(it.database)
  const answers: unknown[] = []
  for (const since of [before, between]) answers.push(await answerOf(joinNamed(it, 'o%n', since)))
  expect(answers).toEqual([
    expect.objectContaining(missed ? { recovered: false, reason: 'publication-changed' } : RECOVERED),
    expect.objectContaining(RECOVERED),
  ])
})

test('a table that is dropped before its last changes are decided: positions are incomplete until the channel is notified', async () => {
  const it = start(100)
  const mine = joinNamed(it, 'o%n')
  await ready(mine)
  it.commit([{ oid: OWN, texts: ['1', 'all', ''] }])
  await until(
    () => mine.changes.length === 1,
    () => mine,
  )
  it.database.add(it.database.tables.get(OWN)!)
  it.commit([{ oid: OWN, texts: ['2', 'all', ''] }])
  it.database.tables.delete(OWN)
  it.database.published.delete(OWN)
  expect(await shown(it, mine, '3')).toMatch(/!$/)
  mine.setIdentity(user('me'))
  await says(mine, 'Changes of public.own have stopped')
  expect(gaps(mine)).toBe(1)
  expect(await shown(it, mine, '4')).not.toMatch(/!$/)
})

test('a table that leaves and returns between two tokens: the channel hears of both', async () => {
  const it = start(100)
  const mine = joinNamed(it, 'o%n')
  await ready(mine)
  for (const round of [1, 2]) {
    it.database.published.delete(OWN)
    mine.setIdentity(user('me'))
    await until(
      () => mine.systems.filter(({ message }) => message.includes('public.own have stopped')).length === round,
      () => mine,
    )
    expect(gaps(mine, 'publication-changed')).toBe(round)
    it.database.published.add(OWN)
    mine.setIdentity(user('me'))
    await until(
      () => gaps(mine, 'table-returned') === round,
      () => mine,
    )
  }
})

test('a table that leaves while its changes are replayed: the channel hears of a gap', async () => {
  const it = start(100, { refreshIntervalMs: 1_000 })
  const yours = join(it, 'you')
  await ready(yours)
  const before = await shown(it, yours, '1')
  it.commit([{ oid: OWN, texts: ['2', 'all', ''] }])
  await shown(it, yours, '3')
  const mine = joinNamed(it, 'o%n', before)
  it.database.intercept = async (name) => {
    if (name !== 'checkRows') return
    it.database.published.delete(OWN)
    await says(mine, 'have stopped')
  }
  await until(
    () => gaps(mine, 'publication-changed') === 1,
    () => mine,
  )
})

test('tables of a role without access that are dropped: nothing was missed', async () => {
  const it = start(100)
  it.database.noUsage.add(OWN)
  const mine = joinNamed(it, 'o%n')
  await ready(mine)
  it.commit([{ oid: OWN, texts: ['1', 'all', ''] }])
  expect(await shown(it, mine, '2')).not.toMatch(/!$/)
  it.database.published.delete(OWN)
  mine.setIdentity(user('me'))
  await says(mine, 'have stopped')
  expect(gaps(mine)).toBe(0)
})

test.each(['a change', 'a look at the catalog', 'a renewed token'])(
  'a table that was renamed while it was watched by a pattern, as %s shows: its leave and its return go by its new name',
  async (shows) => {
    const it = start(100, shows === 'a look at the catalog' ? { refreshIntervalMs: 1_000 } : {})
    const mine = joinNamed(it, '%')
    await ready(mine)
    it.database.add({ ...it.database.tables.get(OWN)!, name: 'renamed' })
    const looks = it.database.calls.length
    if (shows === 'a change') it.commit([{ oid: OWN, texts: ['1', 'all', ''] }])
    if (shows === 'a renewed token') mine.setIdentity(user('me'))
    await until(
      () =>
        shows === 'a change'
          ? mine.changes.length === 1
          : it.database.calls.slice(looks).filter((name) => name === 'publishedTables').length > 1 ||
            mine.systems.filter(({ message }) => message === 'Subscribed to PostgreSQL').length > 1,
      () => mine,
    )
    it.database.published.delete(OWN)
    mine.setIdentity(user('me'))
    await says(mine, 'public.renamed have stopped')
    it.database.published.add(OWN)
    mine.setIdentity(user('me'))
    await says(mine, 'public.renamed come again')
  },
)

test('a table that leaves when another comes under a name of the entry: the channel hears of it', async () => {
  const it = start(100)
  const mine = joinNamed(it, 'o%n')
  await ready(mine)
  it.database.published.delete(OWN)
  it.database.add({ ...OPEN_TABLE, oid: 3, name: 'outgrown' })
  it.commit([{ oid: 3, texts: ['1'] }])
  await says(mine, 'public.own have stopped')
})

test('a channel that is refused while changes are decided for it: what was held for it comes after notice of a gap', async () => {
  const it = start(1)
  const mine = join(it, 'me')
  await ready(mine)
  // From here on its changes of `own` are decided in isolation.
  it.commit([{ oid: OWN, texts: ['1', 'all', 'slow for me'] }])
  await hasGaps(mine, 2)
  const counts: number[] = []
  it.database.intercept = async (name) => {
    if (!name.startsWith('isolated.') || counts.length > 0) return
    counts.push(gaps(mine))
    it.database.forbidden.add('authenticated')
    mine.setIdentity(user('me'))
    await says(mine, 'permission denied')
    counts.push(gaps(mine))
  }
  // The pause of its policies may end a moment after the notice.
  for (let id = 2; counts.length < 2; id++) {
    it.commit([{ oid: OWN, texts: [String(id), 'all', ''] }])
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  expect(counts[1]).toBe(counts[0]! + 1)
})

test('a table that is renamed to the name of one that left: it comes, and when it leaves the channel hears of it', async () => {
  const it = start(100)
  it.database.add({ ...OPEN_TABLE, oid: 3, name: 'other' })
  const mine = joinNamed(it, '%')
  await ready(mine)
  it.database.published.delete(OWN)
  mine.setIdentity(user('me'))
  await says(mine, 'public.own have stopped')
  it.database.add({ ...OPEN_TABLE, oid: 3, name: 'own' })
  it.commit([{ oid: 3, texts: ['1'] }])
  await says(mine, 'public.own come again')
  it.database.published.delete(3)
  mine.setIdentity(user('me'))
  await until(
    () => mine.systems.filter(({ message }) => message.includes('public.own have stopped')).length === 2,
    () => mine,
  )
})

test('a table that could not be read, and turns out to be dropped: positions are incomplete until the channel is notified', async () => {
  const it = start(100)
  const mine = joinNamed(it, 'o%n')
  await ready(mine)
  it.database.add(it.database.tables.get(OWN)!)
  failAlone(it, OWN)
  it.commit([{ oid: OWN, texts: ['1', 'all', ''] }])
  await says(mine, 'the table could not be read')
  it.database.tables.delete(OWN)
  it.database.published.delete(OWN)
  it.database.intercept = () => {}
  const looks = it.database.calls.length
  await until(
    () => it.database.calls.slice(looks).includes('tables'),
    () => it.database.calls,
  )
  await shown(it, mine, '2')
  expect(await shown(it, mine, '3')).toMatch(/!$/)
  mine.setIdentity(user('me'))
  await says(mine, 'have stopped')
  expect(await shown(it, mine, '4')).not.toMatch(/!$/)
})
