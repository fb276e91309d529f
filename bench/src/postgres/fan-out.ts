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
  /** Deliveries too many or too few, since the beginning. */
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

const SUBSCRIBE_TIMEOUT_MS = 120_000
const DELIVERY_TIMEOUT_MS = 60_000
/** The obvious way is given so many changes and so much time. */
const OBVIOUS_CHANGES = 100
const OBVIOUS_MS = 3_000

/**
 * A feed with many subscribers in a process of its own, without sockets. In each round rows are written and delivered,
 * and then, while the feed is idle, the same rows are decided the obvious way.
 */
export async function fanOut(
  database: BenchDatabase,
  policyCase: PolicyCase,
  { subscribers, changes }: FanOutLoad,
  rounds: number,
  note: (result: FanOutResult) => void,
): Promise<void> {
  const url = await database.create(setupOf(policyCase, subscribers))
  const feed = new Child<FanOutMessage>('./postgres/fan-out-feed.ts', null)
  try {
    const job: FanOutJob = { url, policy: policyCase.name, subscribers }
    feed.send(job)
    const subscribed = await received(feed, 'subscribed', SUBSCRIBE_TIMEOUT_MS)
    await withClient(url, async (client) => {
      await client.query(
        `insert into subscribers select n - 1, (n - 1) % ${ORGANIZATIONS}, claims from unnest($1::text[]) with ordinality as u (claims, n)`,
        [claimsTexts(subscribers)],
      )
      const receivers = policyCase.receivers(subscribers)
      const writer = new Writer(client, feed, subscribers, receivers)
      await writer.write(Math.ceil(changes / 5))
      await client.query('analyze subscribers; analyze notes')
      const isFiltered = policyCase.name === 'member-filtered'
      for (let round = 0; round < rounds; round++) {
        const measured = await measureFeed(writer, changes)
        const obviousPerSecond = await obviousWay(client, { isFiltered, byFilter: false, receivers, rows: changes })
        const byFilterPerSecond = isFiltered ? await obviousWay(client, { isFiltered, byFilter: true, receivers, rows: changes }) : null
        note({
          kind: 'fan-out',
          policy: policyCase.name,
          subscribers,
          round,
          changes,
          ...measured,
          obviousPerSecond,
          byFilterPerSecond,
          subscribeMs: subscribed.elapsedMs,
          heapBytes: subscribed.heapBytes / subscribers,
          rssBytes: subscribed.rssBytes / subscribers,
        })
      }
    })
  } finally {
    await feed.stop()
  }
}

/** Counts from before the first row is written to the last delivery: writing them is part of it. */
async function measureFeed(
  writer: Writer,
  changes: number,
): Promise<Pick<FanOutResult, 'changesPerSecond' | 'deliveriesPerSecond' | 'wrong' | 'faults'>> {
  const began = performance.now()
  const deliveries = await writer.write(changes)
  const seconds = (performance.now() - began) / 1000
  return { changesPerSecond: changes / seconds, deliveriesPerSecond: deliveries / seconds, ...(await writer.check()) }
}

/** Writes rows and waits until they are delivered. */
class Writer {
  readonly #client: pg.Client
  readonly #feed: Child<FanOutMessage>
  readonly #subscribers: number
  readonly #receivers: number
  #written = 0

  constructor(client: pg.Client, feed: Child<FanOutMessage>, subscribers: number, receivers: number) {
    this.#client = client
    this.#feed = feed
    this.#subscribers = subscribers
    this.#receivers = receivers
  }

  /** Answers how many deliveries that was. */
  async write(count: number): Promise<number> {
    const first = this.#written + 1
    this.#written += count
    this.#feed.send({ deliveries: this.#written * this.#receivers })
    await this.#client.query(insertRows(first, count, this.#subscribers))
    await received(this.#feed, 'reached', DELIVERY_TIMEOUT_MS)
    return count * this.#receivers
  }

  /** Since the beginning; more than was expected may come a little later. */
  async check(): Promise<{ readonly wrong: number; readonly faults: readonly string[] }> {
    await delay(200)
    this.#feed.send('count')
    const { deliveries, faults } = await received(this.#feed, 'counted', DELIVERY_TIMEOUT_MS)
    return { wrong: Math.abs(deliveries - this.#written * this.#receivers), faults }
  }
}

async function received<Kind extends FanOutMessage['kind']>(
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
