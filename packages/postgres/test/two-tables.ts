/** A feed on two tables: `own`, under a policy that is slow for the users that a row names, and `open`, for everybody. */
import { afterEach } from 'vitest'
import type { FeedOptions } from '../src/feed-options.ts'
import { FakeDatabase, FakeFeed, fastRuntime, ownRows, until, type FakeChannel } from './fake-feed.ts'
import { asRole } from './feed.ts'

export const [OWN, OPEN] = [1, 2] as const
export const OPEN_TABLE = { oid: OPEN, name: 'open', columns: [{ name: 'id' }], policy: null }
export const RECOVERED = { recovered: true }
export const WITHHELD = { recovered: false, reason: 'withheld' }

let feeds: FakeFeed[] = []

/** In a file of tests: closes the feeds of each test. */
export function closeFeeds(): void {
  afterEach(() => {
    for (const feed of feeds) feed.close()
    feeds = []
  })
}

/** Time passes `factor` times as fast. */
export function start(factor: number, options: Partial<FeedOptions> = {}): FakeFeed {
  const database = new FakeDatabase()
  database.add({ ...ownRows(OWN), policy: (sub, { owner, body }) => (body === `slow for ${sub}` ? 'too slow' : owner === 'all') })
  database.add(OPEN_TABLE)
  const it = new FakeFeed(database, fastRuntime(factor), options)
  feeds.push(it)
  return it
}

export const user = (sub: string): ReturnType<typeof asRole> => asRole('authenticated', { sub })
const entries = ['own', 'open'].map((table) => ({ event: '*', schema: 'public', table }))

/** By exact names. */
export function join(it: FakeFeed, sub: string, since: string | null = null): FakeChannel {
  return it.open({ entries, identity: user(sub), positions: true, since })
}

/** By a pattern. */
export function joinNamed(it: FakeFeed, table: string, since: string | null = null): FakeChannel {
  return it.open({ entries: [{ event: '*', schema: 'public', table }], identity: user('me'), positions: true, since })
}

export function says(channel: FakeChannel, text: string): Promise<void> {
  return until(
    () => channel.systems.some((system) => JSON.stringify(system).includes(text)),
    () => channel,
  )
}

export const ready = (channel: FakeChannel): Promise<void> => says(channel, 'Subscribed to PostgreSQL')

export function gaps({ systems }: FakeChannel, reason = 'withheld'): number {
  return systems.filter(({ extra }) => extra?.['reason'] === reason && extra['resync'] === true).length
}

export function hasGaps(channel: FakeChannel, count: number): Promise<void> {
  return until(
    () => gaps(channel) === count,
    () => channel,
  )
}

/** A row that everybody may see. Returns the position with which the channel got it. */
export async function shown(it: FakeFeed, channel: FakeChannel, id: string): Promise<string> {
  it.commit([{ oid: OPEN, texts: [id] }])
  const found = (): FakeChannel['changes'][number] | undefined => channel.changes.find(({ record }) => record!['id'] === id)
  await until(
    () => found() !== undefined,
    () => channel,
  )
  return found()!.position!
}

/** What the channel was told when it was subscribed. */
export async function answerOf(channel: FakeChannel): Promise<Readonly<Record<string, unknown>> | undefined> {
  await ready(channel)
  channel.close()
  return channel.systems.find(({ message }) => message === 'Subscribed to PostgreSQL')!.extra
}

/** What a channel of the user is told that comes back from there. */
export function answerTo(it: FakeFeed, sub: string, since: string): ReturnType<typeof answerOf> {
  return answerOf(join(it, sub, since))
}

/** Makes every look at this table fail, and no look at several. */
export function failAlone(it: FakeFeed, oid: number): void {
  it.database.intercept = (name, oids) => {
    if (name === 'tables' && oids.includes(oid) && oids.length === 1) throw Object.assign(new Error('refused'), { code: 'XX000' })
  }
}
