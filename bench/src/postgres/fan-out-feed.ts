/** A feed with many listeners that count what they get. */
import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { openPostgresFeed, type PostgresFeed } from '@tidewire/postgres'
import type { ChangeListener, Identity } from '@tidewire/server'
import type { Expectation, FanOutJob, FanOutMessage } from './messages.ts'
import { policyCases, type PolicyCase } from './policy-case.ts'
import { subscriberClaims } from './subscriber.ts'

process.once('disconnect', () => process.exit())
process.once('message', (job: FanOutJob) => void run(job))

let deliveries = 0
let expected = Infinity
const faults: string[] = []

async function run({ url, policy, subscribers }: FanOutJob): Promise<void> {
  const policyCase = policyCases.find(({ name }) => name === policy)!
  const feed = openPostgresFeed({ databaseUrl: url, temporarySlot: true, onFault: (fault) => note(JSON.stringify(fault)) })
  // What a server keeps for a connection anyway is there before memory is read.
  const identities = Array.from({ length: subscribers }, (_, number) => identityOf(number))
  await subscribe(feed, policyCase, [identityOf(subscribers)])
  const before = await settledMemory()
  const began = performance.now()
  await subscribe(feed, policyCase, identities)
  const elapsedMs = performance.now() - began
  const after = await settledMemory()
  process.on('message', (request: Expectation | 'count') => {
    if (request === 'count') report({ kind: 'counted', deliveries, faults: faults.splice(0) })
    else expect(request)
  })
  report({ kind: 'subscribed', elapsedMs, heapBytes: after.heapBytes - before.heapBytes, rssBytes: after.rssBytes - before.rssBytes })
}

/** All at once, as after a restart. */
async function subscribe(feed: PostgresFeed, policyCase: PolicyCase, identities: readonly Identity[]): Promise<void> {
  await Promise.all(identities.map((identity, number) => subscribeOne(feed, policyCase, number, identity)))
}

function subscribeOne(feed: PostgresFeed, policyCase: PolicyCase, number: number, identity: Identity): Promise<void> {
  return new Promise((resolve) => {
    const listener: ChangeListener = {
      change: () => {
        if (++deliveries === expected) report({ kind: 'reached' })
      },
      system: (status, message) => {
        if (status === 'error') note(message)
        else if (message === 'Subscribed to PostgreSQL') resolve()
      },
    }
    const entry = { event: 'INSERT', schema: 'public', table: 'notes', ...policyCase.filter(number) }
    const entries = [{ id: number + 1, entry }]
    feed.changeFeed.open(
      { subTopic: `bench-${number}`, entries, identity, positions: false, since: null, deletes: 'all', legacy: false },
      listener,
    )
  })
}

function identityOf(number: number): Identity {
  return { role: 'authenticated', claims: subscriberClaims(number), headers: {} }
}

function expect({ deliveries: wanted }: Expectation): void {
  expected = wanted
  if (deliveries >= wanted) report({ kind: 'reached' })
}

/** Some are enough to see what is wrong. */
function note(fault: string): void {
  if (faults.length < 5) faults.push(fault)
}

async function settledMemory(): Promise<{ readonly heapBytes: number; readonly rssBytes: number }> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  await delay(300)
  collect()
  await delay(100)
  collect()
  const { heapUsed, external, rss } = process.memoryUsage()
  return { heapBytes: heapUsed + external, rssBytes: rss }
}

function report(message: FanOutMessage): void {
  process.send?.(message)
}
