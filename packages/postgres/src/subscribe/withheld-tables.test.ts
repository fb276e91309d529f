/** Tables, filters and roles of which changes are withheld for a while. */
import { expect, test } from 'vitest'
import { until, type FakeChannel, type FakeFeed } from '../../test/fake-feed.ts'
import {
  answerTo,
  closeFeeds,
  failAlone,
  gaps,
  hasGaps,
  insertUntil,
  join,
  joinNamed,
  OPEN,
  OWN,
  ready,
  RECOVERED,
  says,
  shown,
  start,
  user,
  WITHHELD,
} from '../../test/two-tables.ts'

closeFeeds()

/** Sends rows until the channel gets one. Returns the position of that. */
async function shownAgain(it: FakeFeed, channel: FakeChannel): Promise<string> {
  while (channel.changes.length === 0) {
    it.commit([{ oid: OPEN, texts: ['again'] }])
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  return channel.changes.at(-1)!.position!
}

/** The next incomplete position. */
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

test.each([
  { others: 'others stay', stay: true },
  { others: 'no other channel stays', stay: false },
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
  if (witness !== null) await hasGaps(witness, 1)
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
  const mine = joinNamed(it, '*')
  await ready(mine)
  const before = await shown(it, mine, '0')
  it.commit([{ oid: OWN, texts: ['1', 'all', ''] }])
  await until(
    () => mine.changes.length === 2,
    () => mine,
  )
  if (isNew) it.database.add(it.database.tables.get(OWN)!)
  failAlone(it, OWN)
  await insertUntil(it, mine, OWN, 'the table could not be read')
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
  await hasGaps(mine, 1)
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

test('a new table that could not be read: channels that name it by a pattern hear that they missed something of it', async () => {
  const it = start(100)
  const wild = joinNamed(it, '*')
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
  await hasGaps(wild, 1)
  it.commit([{ oid: 3, texts: ['3'] }])
  await until(
    () => wild.changes.length === 3,
    () => wild,
  )
  expect(wild.changes.map(({ record }) => record!['id'])).toEqual(['1', 'during', '3'])
})

test('a filter that does not fit a table which then cannot be read, and leaves: the channel is complete again', async () => {
  const it = start(100, { refreshIntervalMs: 1_000 })
  const own = it.database.tables.get(OWN)!
  it.database.add({ ...own, oid: 3, name: 'owl' })
  const filtered = { event: '*', schema: 'public', table: 'ow_', filter: 'body=eq.x' }
  const mine = it.open({ entries: [filtered, { event: '*', schema: 'public', table: 'open' }], identity: user('me'), positions: true })
  await ready(mine)
  it.database.add({ ...own, columns: [{ name: 'id' }, { name: 'owner' }, { name: 'text' }] })
  it.commit([{ oid: OWN, texts: ['1', 'all', 'x'] }])
  await says(mine, 'your filter does not fit')
  failAlone(it, OWN)
  await insertUntil(it, mine, OWN, 'the table could not be read')
  it.database.published.delete(OWN)
  await says(mine, 'have stopped')
  expect(gaps(mine)).toBe(1)
  expect(await shown(it, mine, '3')).not.toMatch(/!$/)
})

test('a filter that turns out not to fit when its channel has been refused: accepted again, the channel is complete', async () => {
  const it = start(100)
  const own = it.database.tables.get(OWN)!
  const entries = [
    { event: '*', schema: 'public', table: 'own', filter: 'body=eq.x' },
    { event: '*', schema: 'public', table: 'open' },
  ]
  const mine = it.open({ entries, identity: user('me'), positions: true })
  await ready(mine)
  it.database.uncastable.add('int4')
  it.database.add({ ...own, columns: [{ name: 'id' }, { name: 'owner' }, { name: 'body', type: 'int4' }] })
  let isFirst = true
  it.database.intercept = async (name) => {
    if (name !== 'castFilter' || !isFirst) return
    isFirst = false
    it.database.forbidden.add('authenticated')
    mine.setIdentity(user('me'))
    await says(mine, 'permission denied')
  }
  it.commit([{ oid: OWN, texts: ['1', 'all', 'x'] }])
  await says(mine, 'permission denied')
  it.database.forbidden.clear()
  it.database.add(own)
  mine.setIdentity(user('me'))
  await until(
    () => mine.systems.filter(({ message }) => message === 'Subscribed to PostgreSQL').length === 2,
    () => mine,
  )
  expect(await shown(it, mine, '2')).not.toMatch(/!$/)
})

test('several tables that can be read again at once: one gap', async () => {
  const it = start(100)
  const mine = join(it, 'me')
  await ready(mine)
  for (const oid of [OWN, OPEN]) it.database.add(it.database.tables.get(oid)!)
  it.database.intercept = (name) => {
    if (name === 'tables') throw Object.assign(new Error('refused'), { code: 'XX000' })
  }
  it.commit([
    { oid: OWN, texts: ['1', 'all', ''] },
    { oid: OPEN, texts: ['1'] },
  ])
  await says(mine, 'public.own are withheld')
  await says(mine, 'public.open are withheld')
  it.database.intercept = () => {}
  expect(await shownAgain(it, mine)).not.toMatch(/!$/)
  expect(gaps(mine)).toBe(1)
})

test('a table that can be read again when its next version comes', async () => {
  const it = start(1, { refreshIntervalMs: 10 })
  const mine = join(it, 'me')
  await ready(mine)
  it.commit([{ oid: OWN, texts: ['1', 'all', ''] }])
  await until(
    () => mine.changes.length === 1,
    () => mine,
  )
  failAlone(it, OWN)
  await insertUntil(it, mine, OWN, 'the table could not be read')
  it.database.intercept = () => {}
  it.database.add(it.database.tables.get(OWN)!)
  it.commit([{ oid: OWN, texts: ['3', 'all', ''] }])
  await hasGaps(mine, 1)
  expect(await shown(it, mine, '4')).not.toMatch(/!$/)
})

test('a channel that only seems to name a table that cannot be read is complete again when it has no subscriber any more', async () => {
  const it = start(100)
  const columns = [{ name: 'id' }]
  it.database.add({ oid: 3, name: 'a_b', columns, policy: null })
  it.database.add({ oid: 4, name: 'axb', columns, policy: null })
  const [mine, other] = [joinNamed(it, 'a_b'), joinNamed(it, 'axb')]
  await Promise.all([ready(mine), ready(other)])
  failAlone(it, 4)
  it.commit([{ oid: 4, texts: ['1'] }])
  await says(other, 'the table could not be read')
  // The feed has looked for all who watch it.
  const looks = it.database.calls.length
  await until(
    () => it.database.calls.slice(looks).filter((name) => name === 'tables').length > 1,
    () => it.database.calls,
  )
  other.close()
  let isComplete = false
  for (let id = 1; !isComplete; id++) {
    it.commit([{ oid: 3, texts: [String(id)] }])
    await until(
      () => mine.changes.length === id,
      () => mine,
    )
    isComplete = !mine.changes.at(-1)!.position!.endsWith('!')
  }
})

test('a table that one lookup fails to read, and another that was under way reads', async () => {
  const it = start(1)
  const mine = join(it, 'me')
  await ready(mine)
  it.commit([{ oid: OWN, texts: ['1', 'all', 'slow for me'] }])
  await hasGaps(mine, 2)
  // Decided in isolation: the lookup for it overlaps with that of the ordered path, which fails.
  it.database.add(it.database.tables.get(OWN)!)
  let looks = 0
  let failed = (): void => {}
  const hasFailed = new Promise<void>((resolve) => (failed = resolve))
  it.database.intercept = async (name, oids) => {
    if (name !== 'tables' || oids.length > 1) return
    if (++looks > 1) return hasFailed
    await until(
      () => looks > 1,
      () => looks,
      300,
    ).catch(() => {})
    setTimeout(failed, 20)
    throw Object.assign(new Error('refused'), { code: 'XX000' })
  }
  it.commit([{ oid: OWN, texts: ['2', 'all', ''] }])
  it.commit([{ oid: OWN, texts: ['3', 'all', ''] }])
  let position = '!'
  for (let id = 4; position.endsWith('!'); id++) position = await shown(it, mine, String(id))
})
