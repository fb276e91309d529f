/** What is withheld from a channel is never called complete. */
import { expect, test } from 'vitest'
import { FeedChannel } from '../subscribe/feed-channel.ts'
import { fastRuntime, until } from '../../test/fake-feed.ts'
import {
  answerTo,
  closeFeeds,
  gaps,
  hasGaps,
  join,
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
import { MissedChanges } from './missed-changes.ts'

closeFeeds()

test('changes withheld after the gap was announced, and a client that comes back from a later position', async () => {
  const it = start(1)
  const [mine, yours] = [join(it, 'me'), join(it, 'you')]
  await Promise.all([ready(mine), ready(yours)])
  await shown(it, mine, '1')
  it.commit([{ oid: OWN, texts: ['2', 'all', 'slow for me'] }])
  await says(mine, 'withheld')
  await hasGaps(mine, 1)
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
  await hasGaps(stayed, 2)
  expect(await answerTo(it, 'me', during)).toMatchObject(WITHHELD)
  const after = await shown(it, stayed, '6')
  expect(await answerTo(it, 'me', after)).toMatchObject(RECOVERED)
})

test('a change withheld in a replay: later positions are incomplete before the gap is announced', async () => {
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

test('a channel that misses change after change is notified about once a second', async () => {
  const runtime = fastRuntime(100)
  const missed = new MissedChanges(runtime)
  const notices: string[] = []
  const request = { subTopic: '', entries: [], identity: user('me'), positions: true, since: null, deletes: 'all', legacy: false } as const
  const listener = { change: () => {}, system: (_status: string, message: string) => void notices.push(message) }
  const channel = new FeedChannel(request, [], listener, () => {})
  channel.subscribed()
  const from = runtime.uptime()
  while (runtime.uptime() - from < 3_500) {
    missed.add([channel, channel], 0)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  missed.close()
  expect(notices.length).toBeGreaterThan(2)
  expect(notices.length).toBeLessThan(10)
})
