/** Tens of thousands of entries that come and go at once, and what may happen meanwhile. */
import type { PresenceDiff } from '@tidewire/protocol'
import { ServerRuntime, settle } from '@tidewire/testkit'
import { describe, expect, it } from 'vitest'
import { StepQueue } from '../limits/step-queue.ts'
import type { PresenceDiffs } from './presence-diff.ts'
import { PresenceReplication } from './presence-replication.ts'
import { PresenceTracker } from './presence-tracker.ts'
import { encodeDelta } from './presence-wire.ts'

const ENTRIES = 33_000
const STEP_ENTRIES = 200

const size = ({ joins, leaves }: PresenceDiff): number =>
  [joins, leaves].reduce((sum, side) => sum + Object.values(side).reduce((metas, each) => metas + each.metas.length, 0), 0)

/** A node that is notified of another one, and what it announced in each turn of the event loop. */
class Hearer {
  readonly runtime = new ServerRuntime()
  readonly tracker = new PresenceTracker<object>({ replica: 'here', nextPhxRef: () => 'own' })
  /** References in view of each topic, as a client sees them. */
  readonly view = new Map<string, Set<string>>()
  readonly announced: PresenceDiffs[] = []
  readonly sent: string[] = []
  /** So many messages are sent until the link is lost. */
  sends = Infinity
  readonly replication = new PresenceReplication({
    runtime: this.runtime,
    // Each step takes as long as a turn may.
    steps: new StepQueue({ uptime: () => (this.#clock += 1_000), endOfTurn: (callback) => this.runtime.endOfTurn(callback) }),
    tracker: this.tracker,
    relay: {
      self: { instance: 'here', name: 'here', version: '1', startedAt: 0 },
      send: (_, bytes) => {
        if (this.sends-- <= 0) return false
        this.sent.push(Buffer.from(bytes).toString())
        return true
      },
      caughtUp: () => Promise.resolve(true),
    },
    announce: (diffs) => this.#announce(diffs),
    fault: (detail) => {
      throw new Error(detail)
    },
  })
  #clock = 0

  constructor() {
    this.replication.onLink({ state: 'up', sinceUptimeMs: 0 })
  }

  hear(other: PresenceTracker<object>, replica = 'there'): void {
    for (const message of encodeDelta(other.delta(), 64 * 1024)) this.replication.onNodeMessage(message, replica)
  }

  /** The other node says goodbye. */
  lose(replica = 'there'): void {
    this.replication.onPeer({ kind: 'down', peer: { instance: replica, name: '', version: '', startedAt: 0 } })
  }

  /** Runs turns until nothing is left to do; returns how many entries each announced. */
  turns(most = Infinity): number[] {
    const entries: number[] = []
    for (let turn = 0; turn < most && this.tracker.isBehind; turn++) {
      const before = this.announced.length
      this.runtime.endTurn()
      entries.push(this.announced.slice(before).reduce((sum, diffs) => sum + sizeOf(diffs), 0))
    }
    // The end of the work is a step of its own.
    if (!this.tracker.isBehind) this.runtime.endTurn()
    return entries
  }

  get shown(): number {
    return [...this.view.values()].reduce((sum, { size: refs }) => sum + refs, 0)
  }

  #announce(diffs: PresenceDiffs): void {
    this.announced.push(diffs)
    for (const [topic, { joins, leaves }] of diffs) {
      const refs = this.view.get(topic) ?? new Set()
      this.view.set(topic, refs)
      for (const { metas } of Object.values(joins)) for (const { phx_ref } of metas) refs.add(phx_ref)
      for (const { metas } of Object.values(leaves)) for (const { phx_ref } of metas) expect(refs.delete(phx_ref)).toBe(true)
    }
  }

  /** A step may end within a topic: a client that follows the diffs sees what one sees that joins now. */
  check(): void {
    for (const [topic, refs] of this.view) {
      const state = Object.values(this.tracker.state(topic)).flatMap(({ metas }) => metas.map(({ phx_ref }) => phx_ref))
      expect(refs).toEqual(new Set(state))
    }
  }
}

function sizeOf(diffs: PresenceDiffs): number {
  return [...diffs.values()].reduce((sum, diff) => sum + size(diff), 0)
}

function tracking(entries: number, topics: number): PresenceTracker<object> {
  let refs = 0
  const tracker = new PresenceTracker<object>({ replica: 'there', nextPhxRef: () => `r${++refs}` })
  for (let at = 0; at < entries; at++) tracker.track(`public:${at % topics}`, `k${at}`, {}, { at })
  return tracker
}

describe.each([1, 100, ENTRIES])('a node with tens of thousands of entries in %i topics', (topics) => {
  it('leaves the view in steps, a diff of each topic for every step that it takes', () => {
    const hearer = new Hearer()
    hearer.hear(tracking(ENTRIES, topics))
    hearer.turns()
    hearer.check()
    expect(hearer.shown).toBe(ENTRIES)
    hearer.announced.length = 0
    hearer.lose()
    expect(hearer.announced.map(sizeOf)).toEqual([STEP_ENTRIES])
    const left = hearer.turns()
    expect(Math.max(...left)).toBe(STEP_ENTRIES)
    expect(left).toHaveLength(Math.ceil(ENTRIES / STEP_ENTRIES) - 1)
    expect(hearer.shown).toBe(0)
    expect(hearer.tracker.topicCount).toBe(0)
    const diffs = hearer.announced.reduce((sum, { size: each }) => sum + each, 0)
    expect(diffs).toBeLessThanOrEqual(topics + left.length)
  })

  it('comes into view in steps, however fast its messages come', () => {
    const hearer = new Hearer()
    hearer.hear(tracking(2_000, topics))
    expect(hearer.announced.map(sizeOf)).toEqual([STEP_ENTRIES])
    expect(Math.max(...hearer.turns())).toBe(STEP_ENTRIES)
    expect(hearer.shown).toBe(2_000)
  })
})

it('a node that is heard again while its entries leave is in view as a whole in the end', async () => {
  const hearer = new Hearer()
  hearer.replication.start()
  const other = tracking(2_000, 10)
  hearer.hear(other)
  hearer.turns()
  while (!hearer.tracker.isBehind && hearer.runtime.uptime() < 10_000) {
    hearer.runtime.advance(100)
    await settle()
  }
  hearer.turns(3)
  hearer.check()
  expect(hearer.shown).toBe(2_000 - 4 * STEP_ENTRIES)
  // What a client of this node does is in view at once.
  const owner = {}
  expect(hearer.tracker.track('public:0', 'mine', owner, {})).toMatchObject({ joins: { mine: {} } })
  expect(Object.keys(hearer.tracker.state('public:0'))).toContain('mine')
  hearer.tracker.untrack('public:0', owner)
  hearer.hear(other)
  hearer.turns()
  hearer.check()
  expect(hearer.shown).toBe(2_000)
})

it('an entry that has lingered long enough, and is replaced before it leaves, leaves once', () => {
  const hearer = new Hearer()
  const other = tracking(2, 1)
  hearer.hear(other)
  hearer.tracker.replicaLeaving('there', 1_000)
  hearer.tracker.replicaGone('there')
  while (hearer.tracker.isBehind) hearer.tracker.show(1)
  hearer.tracker.dropLingering(1_000)
  expect(hearer.tracker.isBehind).toBe(true)
  const diffs = [hearer.tracker.track('public:0', 'k1', {}, {}) as PresenceDiff]
  while (hearer.tracker.isBehind) diffs.push(...hearer.tracker.show(1).values())
  expect(diffs.map(({ joins, leaves }) => [Object.keys(joins), Object.keys(leaves)])).toEqual([
    [['k1'], ['k1']],
    [[], ['k0']],
  ])
  expect(Object.keys(hearer.tracker.state('public:0'))).toEqual(['k1'])
})

it('updates of many clients in one turn show no client twice', () => {
  const hearer = new Hearer()
  const other = new PresenceTracker<object>({ replica: 'there', nextPhxRef: () => `r${++refs}` })
  let refs = 0
  const owners = Array.from({ length: 2 * STEP_ENTRIES }, () => ({}))
  const trackAll = (value: number): void => {
    for (const [at, owner] of owners.entries()) other.track(`public:${at % 2}`, `k${at}`, owner, { value })
    hearer.hear(other)
  }
  trackAll(1)
  hearer.turns()
  hearer.announced.length = 0
  trackAll(2)
  hearer.turns()
  expect(hearer.announced.length).toBeGreaterThan(2)
  for (const diffs of hearer.announced)
    for (const { joins, leaves } of diffs.values()) expect(Object.keys(joins)).toEqual(Object.keys(leaves))
  hearer.check()
})

it('a key that tens of thousands share leaves in steps, too', () => {
  const hearer = new Hearer()
  const other = new PresenceTracker<object>({ replica: 'there', nextPhxRef: () => `r${++refs}` })
  let refs = 0
  for (let at = 0; at < 2_000; at++) other.track('public:x', 'shared', {}, { at })
  hearer.hear(other)
  expect(Math.max(...hearer.announced.map(sizeOf), ...hearer.turns())).toBeLessThanOrEqual(2 * STEP_ENTRIES)
  hearer.lose()
  expect(Math.max(...hearer.turns())).toBeLessThanOrEqual(2 * STEP_ENTRIES)
  expect(hearer.shown).toBe(0)
})

it('what has lingered long enough leaves also where there is always more to show', () => {
  const { tracker } = new Hearer()
  const other = tracking(1, 1)
  tracker.replicaUp('there')
  tracker.replicaUp('busy')
  tracker.merge(other.delta())
  tracker.replicaLeaving('there', 1_000)
  tracker.replicaGone('there', 0)
  const busy = new PresenceTracker<object>({ replica: 'busy', nextPhxRef: () => 'busy' })
  for (let now = 0; now < 5_000; now += 500) {
    busy.track('public:busy', `${now}`, {}, {})
    busy.track('public:busy', `${now} too`, {}, {})
    tracker.merge(busy.delta(tracker.context()), now)
    tracker.dropLingering(now)
    for (let step = 0; step < 2; step++) tracker.show(1)
    expect(tracker.isBehind).toBe(true)
  }
  expect(tracker.state('public:0')).toEqual({})
})

it('an entry that lingers on another node before it is heard of stays in view', () => {
  const hearer = new Hearer()
  const other = tracking(1, 1)
  const lingering = other.delta()[0]!.entries.map((entry) => ({ entry, forMs: 1_000 }))
  hearer.replication.onNodeMessage(Buffer.from(JSON.stringify({ type: 'delta', delta: [], lingering })), 'third')
  expect(hearer.shown).toBe(1)
  hearer.hear(other)
  hearer.check()
  // It is no longer one that lingers.
  hearer.tracker.dropLingering(1_000)
  expect(hearer.tracker.isBehind).toBe(false)
  expect(hearer.shown).toBe(1)
})

it('a node that starts is sent what lingers again where the link was lost meanwhile', () => {
  const hearer = new Hearer()
  hearer.hear(tracking(2_000, 1))
  hearer.tracker.replicaLeaving('there', 5_000)
  hearer.lose()
  hearer.turns()
  const asked = Buffer.from(JSON.stringify({ type: 'ask', context: [] }))
  const ask = (from: string): string[] => {
    hearer.sent.length = 0
    hearer.replication.onNodeMessage(asked, from)
    for (let turn = 0; turn < 100; turn++) hearer.runtime.endTurn()
    return hearer.sent.filter((text) => text.includes('"lingering":['))
  }
  hearer.sends = 2
  expect(ask('fresh')).toHaveLength(2)
  hearer.sends = Infinity
  const all = ask('fresh')
  expect(all.length).toBeGreaterThan(2)
  expect(ask('fresh')).toEqual([])
})

it('a node that was given up, and is heard again, is in view at once', () => {
  const hearer = new Hearer()
  const other = tracking(2, 1)
  hearer.hear(other)
  hearer.lose()
  hearer.hear(other)
  expect(hearer.shown).toBe(0)
  hearer.replication.onPeer({ kind: 'up', peer: { instance: 'there', name: '', version: '', startedAt: 0 } })
  hearer.hear(other)
  expect(hearer.shown).toBe(2)
})

it('a node that was only heard of is not held, and is once its answer is in view', () => {
  const hearer = new Hearer()
  const other = tracking(1_000, 1)
  const digest = Buffer.from(JSON.stringify({ type: 'digest', context: other.context() }))
  hearer.replication.onNodeMessage(digest, 'there')
  expect(hearer.replication.holdsAllOf(['there'])).toBe(false)
  hearer.hear(other)
  hearer.replication.onNodeMessage(digest, 'there')
  expect(hearer.replication.holdsAllOf(['there'])).toBe(false)
  hearer.turns()
  expect(hearer.replication.holdsAllOf(['there'])).toBe(true)
})
