/** Every call of every port of the feed throws, answers late, and never, once each, at every step. */
import { expect, test } from 'vitest'
import { FakeDatabase, FakeFeed, fastRuntime, ownRows, until, type FakeChannel } from '../test/fake-feed.ts'
import { asRole } from '../test/feed.ts'

const [OWN, OPEN, CAST] = [1, 2, 3]
const TRANSACTIONS = 4

/** A channel that misses a row is notified. */
function isSettled({ changes, systems }: FakeChannel, rows: number): boolean {
  return changes.length >= rows || systems.some(({ extra }) => extra?.['resync'] === true)
}

/** What a scenario watches, and whether a channel got a row of each transaction. */
async function play(intercept: (name: string, call: number) => Promise<void> | void): Promise<{ readonly calls: readonly string[] }> {
  const database = new FakeDatabase()
  database.add(ownRows(OWN))
  database.add({ oid: OPEN, name: 'open', columns: [{ name: 'id' }], policy: null })
  database.add({ oid: CAST, name: 'casting', columns: [{ name: 'id' }, { name: 'v', type: 'cast' }], policy: null })
  let call = 0
  database.intercept = (name) => intercept(name, call++)
  const it = new FakeFeed(database, fastRuntime(200))
  const of = (table: string, more: object = {}): object => ({ event: '*', schema: 'public', table, ...more })
  const me = asRole('authenticated', { sub: 'me' })
  const channels = {
    own: it.open({ entries: [of('own')], identity: me }),
    open: it.open({ entries: [of('open')] }),
    pattern: it.open({ entries: [of('own', { filter: 'body=like.b%' })], identity: me }),
    casting: it.open({ entries: [of('casting')] }),
  }
  const all = Object.values(channels)
  try {
    await until(
      () => all.every((channel) => channel.isReady),
      () => all.map(({ systems }) => systems),
    )
    for (let n = 1; n <= TRANSACTIONS; n++) {
      const texts = String(n)
      it.commit([
        { oid: OWN, texts: [texts, 'me', `b${n}`] },
        { oid: OPEN, texts: [texts] },
        { oid: CAST, texts: [texts, 'x'] },
        { oid: OWN, texts: [`${n}0`, 'other', 'b'] },
      ])
      if (n === 2)
        await until(
          () => isSettled(channels.open, 1),
          () => channels.open,
        )
    }
    await until(
      () => all.every((channel) => isSettled(channel, TRANSACTIONS)),
      () => ({
        calls: database.calls,
        faults: it.faults,
        channels: all.map(({ changes, systems }) => [changes.length, systems.map(({ message }) => message)]),
      }),
    )
    for (const { changes } of all) {
      const ids = changes.map(({ record }) => String(record!['id']))
      expect(ids).toEqual(ids.toSorted((a, b) => Number(a) - Number(b)))
      expect(new Set(ids).size).toBe(ids.length)
    }
    expect(channels.own.changes.every(({ record }) => record!['owner'] === 'me')).toBe(true)
    // A fault stays where it is: at most the table of the call that failed is concerned.
    const missed = Object.entries(channels).filter(([, { changes }]) => changes.length < TRANSACTIONS)
    expect(missed.length).toBeLessThanOrEqual(2)
    return { calls: [...database.calls] }
  } finally {
    it.close()
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const WAYS = {
  'fails since the database cannot be reached': () => Promise.reject(Object.assign(new Error('gone'), { code: '57P01' })),
  'fails for another reason': () => Promise.reject(Object.assign(new Error('an internal error'), { code: 'XX000' })),
  'fails since something does not exist': () => Promise.reject(Object.assign(new Error('no such thing'), { code: '42P01' })),
  'answers late': () => sleep(20),
  'never answers': () => new Promise<void>(() => {}),
} as const

test('without a fault everything comes', async () => {
  const { calls } = await play(() => {})
  expect(new Set(calls)).toEqual(
    new Set([
      'publishedTables',
      'role',
      'tables',
      'castFilter',
      'insertLsn',
      'checkRows',
      'checkVersions',
      'jsonOf',
      'isolated.testFilters',
      'isolated.checkRows',
    ]),
  )
})

test.each(Object.keys(WAYS) as (keyof typeof WAYS)[])(
  'when any one call %s, the others go on and those concerned are notified',
  { timeout: 60_000 },
  async (way) => {
    const { calls } = await play(() => {})
    for (let at = 0; at < calls.length; at++) {
      await play((_, call) => (call === at ? WAYS[way]() : undefined)).catch((error: unknown) => {
        throw new Error(`call ${at}, ${calls[at]}: ${String(error)}`)
      })
    }
  },
)
