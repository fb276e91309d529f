import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { Child } from '../child.ts'
import { withClient, type BenchDatabase } from './database.ts'
import type { FanOutJob, FanOutMessage, PolicyName } from './messages.ts'
import { claimsTexts, insertRows, ORGANIZATIONS, setupOf, type PolicyCase } from './policy-case.ts'

export interface FanOutResult {
  readonly kind: 'fan-out'
  readonly policy: PolicyName
  readonly subscribers: number
  readonly round: number
  readonly changes: number
  readonly changesPerSecond: number
  readonly deliveriesPerSecond: number
  /** Deliveries too many or too few. */
  readonly wrong: number
  readonly faults: readonly string[]
  readonly obviousPerSecond: number
  /** The obvious way, but only for subscribers whose filter matches; null where there is no filter. */
  readonly byFilterPerSecond: number | null
  readonly subscribeMs: number
  /** Of the process, for each subscription. */
  readonly heapBytes: number
  readonly rssBytes: number
}

export interface FanOutLoad {
  readonly subscribers: number
  readonly changes: number
}

const SUBSCRIBE_TIMEOUT_MS = 60_000
const DELIVERY_TIMEOUT_MS = 60_000
/** The obvious way is given so many changes and so much time. */
const OBVIOUS_CHANGES = 100
const OBVIOUS_MS = 4_000

/** A feed with many subscribers in a process of its own, without sockets; after it, the obvious way on the same rows. */
export async function fanOut(database: BenchDatabase, policyCase: PolicyCase, load: FanOutLoad, round: number): Promise<FanOutResult> {
  const { subscribers, changes } = load
  const url = await database.create(setupOf(policyCase, subscribers))
  return withClient(url, async (client) => {
    const measured = await measureFeed(client, { url, policy: policyCase.name, subscribers }, changes, policyCase.receivers(subscribers))
    await client.query(
      `insert into subscribers select n - 1, (n - 1) % ${ORGANIZATIONS}, claims from unnest($1::text[]) with ordinality as u (claims, n)`,
      [claimsTexts(subscribers)],
    )
    await client.query('analyze subscribers; analyze notes')
    const isFiltered = policyCase.name === 'member-filtered'
    const receivers = policyCase.receivers(subscribers)
    return {
      kind: 'fan-out',
      policy: policyCase.name,
      subscribers,
      round,
      changes,
      ...measured,
      obviousPerSecond: await obviousWay(client, { isFiltered, byFilter: false, receivers, rows: changes }),
      byFilterPerSecond: isFiltered ? await obviousWay(client, { isFiltered, byFilter: true, receivers, rows: changes }) : null,
    }
  })
}

type Measured = Omit<FanOutResult, 'kind' | 'policy' | 'subscribers' | 'round' | 'changes' | 'obviousPerSecond' | 'byFilterPerSecond'>

/** Counts from before the first row is written to the last delivery: writing them is part of it. */
async function measureFeed(client: pg.Client, job: FanOutJob, changes: number, receivers: number): Promise<Measured> {
  const feed = new Child<FanOutMessage>('./postgres/fan-out-feed.ts', null)
  try {
    feed.send(job)
    const subscribed = await told(feed, 'subscribed', SUBSCRIBE_TIMEOUT_MS)
    const warmUp = Math.ceil(changes / 5)
    await write(client, feed, { first: 1, count: warmUp, total: warmUp, receivers, subscribers: job.subscribers })
    const began = performance.now()
    const total = warmUp + changes
    await write(client, feed, { first: warmUp + 1, count: changes, total, receivers, subscribers: job.subscribers })
    const seconds = (performance.now() - began) / 1000
    await delay(200)
    feed.send('count')
    const { deliveries, faults } = await told(feed, 'counted', DELIVERY_TIMEOUT_MS)
    return {
      changesPerSecond: changes / seconds,
      deliveriesPerSecond: (changes * receivers) / seconds,
      wrong: Math.abs(deliveries - total * receivers),
      faults,
      subscribeMs: subscribed.elapsedMs,
      heapBytes: subscribed.heapBytes / job.subscribers,
      rssBytes: subscribed.rssBytes / job.subscribers,
    }
  } finally {
    await feed.stop()
  }
}

interface Writing {
  readonly first: number
  readonly count: number
  /** Rows written since the beginning, these included. */
  readonly total: number
  readonly receivers: number
  readonly subscribers: number
}

async function write(
  client: pg.Client,
  feed: Child<FanOutMessage>,
  { first, count, total, receivers, subscribers }: Writing,
): Promise<void> {
  feed.send({ deliveries: total * receivers })
  await client.query(insertRows(first, count, subscribers))
  await told(feed, 'reached', DELIVERY_TIMEOUT_MS)
}

async function told<Kind extends FanOutMessage['kind']>(
  feed: Child<FanOutMessage>,
  kind: Kind,
  timeoutMs: number,
): Promise<Extract<FanOutMessage, { readonly kind: Kind }>> {
  const message = await feed.next(timeoutMs)
  if (message.kind !== kind) throw new Error(`the feed said "${message.kind}" instead of "${kind}"`)
  return message as Extract<FanOutMessage, { readonly kind: Kind }>
}

interface ObviousWay {
  readonly isFiltered: boolean
  readonly byFilter: boolean
  readonly receivers: number
  readonly rows: number
}

async function obviousWay(client: pg.Client, { isFiltered, byFilter, receivers, rows }: ObviousWay): Promise<number> {
  const ask = async (id: number): Promise<void> => {
    const answer = await client.query<{ seen: number }>('select obvious_way($1, $2, $3) as seen', [id, isFiltered, byFilter])
    // A comparison with something that answers another question would be worth nothing.
    if (answer.rows[0]!.seen !== receivers)
      throw new Error(`the obvious way found ${answer.rows[0]!.seen} receivers instead of ${receivers}`)
  }
  await ask(1)
  const began = performance.now()
  let asked = 0
  while (asked < OBVIOUS_CHANGES && performance.now() - began < OBVIOUS_MS) await ask(1 + (asked++ % rows))
  return (asked * 1000) / (performance.now() - began)
}
