/** A feed on two tables: `own`, under a policy that is slow for the users that a row names, and `open`, without policies. */
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

/** Inserts a row that is visible to all users. Returns the position with which the channel got it. */
export async function shown(it: FakeFeed, channel: FakeChannel, id: string): Promise<string> {
  it.commit([{ oid: OPEN, texts: [id] }])
  const found = (): FakeChannel['changes'][number] | undefined => channel.changes.find(({ record }) => record!['id'] === id)
  await until(
    () => found() !== undefined,
    () => channel,
  )
  return found()!.position!
}

/** The answer to the channel's subscription. */
export async function answerOf(channel: FakeChannel): Promise<Readonly<Record<string, unknown>> | undefined> {
  await ready(channel)
  channel.close()
  return channel.systems.find(({ message }) => message === 'Subscribed to PostgreSQL')!.extra
}

/** The answer to a channel of the user that resumes from the position. */
export function answerTo(it: FakeFeed, sub: string, since: string): ReturnType<typeof answerOf> {
  return answerOf(join(it, sub, since))
}

/** Makes every look at this table fail, and no look at several. */
export function failAlone(it: FakeFeed, oid: number): void {
  it.database.intercept = (name, oids) => {
    if (name === 'tables' && oids.includes(oid) && oids.length === 1) throw Object.assign(new Error('refused'), { code: 'XX000' })
  }
}

/** Inserts rows of the table until the channel gets a system message with this text. */
export async function insertUntil(it: FakeFeed, channel: FakeChannel, oid: number, text: string): Promise<void> {
  while (!channel.systems.some(({ message }) => message.includes(text))) {
    it.commit([{ oid, texts: ['1', 'all', 'x'] }])
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}
