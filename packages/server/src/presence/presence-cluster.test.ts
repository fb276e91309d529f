import type { JsonObject, PresenceDiff, PresenceMeta, PresenceState } from '@tidewire/protocol'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { PresenceDelta } from './presence-set.ts'
import type { PresenceDiffs } from './presence-diff.ts'
import { PresenceTracker } from './presence-tracker.ts'

const seed = Number(process.env['FC_SEED'] ?? Date.now() % 2 ** 31)

const topics = ['realtime:x', '__proto__']
const keys = ['k', 'constructor']

const node = fc.nat({ max: 3 })
const two = fc.nat({ max: 1 })
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('track' as const), node, topic: two, owner: two, key: two, value: two }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('untrack' as const), node, topic: two, owner: two }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('flush' as const), node, reaches: fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('sync' as const), node, other: node, whole: fc.boolean() }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('deliver' as const), message: fc.nat({ max: 15 }), steps: fc.nat({ max: 3 }) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('show' as const), node, most: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('lose' as const), message: fc.nat({ max: 15 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('up' as const, 'down' as const, 'gone' as const),
      node,
      other: node,
      steps: fc.constantFrom<number>(0, 1, 9),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('leaving' as const), node }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('linger' as const), node, other: node }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), node }) },
)
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never

function copy<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T
}

const countOf = ({ joins, leaves }: PresenceDiff): number => Object.keys(joins).length + Object.keys(leaves).length

/** What a client makes of the diffs of one topic: metas in order, by key. */
class View {
  readonly metas = new Map<string, PresenceMeta[]>()

  apply({ joins, leaves }: PresenceDiff): void {
    for (const [key, { metas }] of Object.entries(joins)) {
      const present = this.metas.get(key) ?? []
      for (const meta of metas) expect(present).not.toContainEqual(expect.objectContaining({ phx_ref: meta.phx_ref }))
      this.metas.set(key, [...present, ...metas])
    }
    for (const [key, { metas }] of Object.entries(leaves)) {
      const present = this.metas.get(key) ?? []
      for (const meta of metas) expect(present).toContainEqual(meta)
      const rest = present.filter(({ phx_ref }) => metas.every((meta) => meta.phx_ref !== phx_ref))
      if (rest.length > 0) this.metas.set(key, rest)
      else this.metas.delete(key)
    }
  }
}

const LINGER_MS = 2

const inAnyOrder = (state: PresenceState): string[] =>
  Object.entries(state)
    .flatMap(([key, { metas }]) => metas.map((meta) => JSON.stringify([key, meta])))
    .sort()

interface Node {
  readonly tracker: PresenceTracker<string>
  readonly views: Map<string, View>
  /** What its channels track, and so what all must see in the end: topic, key and payload by topic and owner. */
  readonly tracked: Map<string, readonly [topic: string, key: string, payload: JsonObject]>
}

class Cluster {
  readonly nodes: Node[]
  /** What is under way. Delivered messages stay, so that they are delivered again, late and in another order. */
  readonly messages: { readonly to: Node; readonly text: string }[] = []
  #now = 0

  constructor(size: number) {
    let refs = 0
    this.nodes = Array.from({ length: size }, (_, at) => ({
      tracker: new PresenceTracker<string>({ replica: `node-${at}`, nextPhxRef: () => `r${++refs}` }),
      views: new Map(),
      tracked: new Map(),
    }))
  }

  node(index: number): Node {
    return this.nodes[index % this.nodes.length]!
  }

  take(step: Step): void {
    switch (step.do) {
      case 'track':
        return this.#track(this.node(step.node), topics[step.topic]!, `owner-${step.owner}`, keys[step.key]!, { value: step.value })
      case 'untrack':
        return this.untrack(this.node(step.node), topics[step.topic]!, `owner-${step.owner}`)
      case 'flush':
        return this.#flush(this.node(step.node), step.reaches)
      case 'sync':
        return this.#send(
          this.node(step.node),
          this.node(step.other).tracker.delta(step.whole ? [] : this.node(step.node).tracker.context()),
        )
      case 'deliver':
        return this.#deliver(step.message, step.steps)
      case 'show':
        return this.#show(this.node(step.node), this.node(step.node).tracker.show(step.most))
      case 'lose':
        return void this.messages.splice(step.message, 1)
      case 'leaving':
        for (const { tracker } of this.nodes) tracker.replicaLeaving(`node-${step.node % this.nodes.length}`, LINGER_MS)
        return
      case 'linger':
        return this.node(step.node).tracker.linger(copy(this.node(step.other).tracker.lingering(this.#now)), this.#now)
      case 'pass':
        this.#now++
        return this.node(step.node).tracker.dropLingering(this.#now)
      default:
        return this.#setStatus(step.do, step.node % this.nodes.length, step.other % this.nodes.length, step.steps)
    }
  }

  #track(node: Node, topic: string, owner: string, key: string, payload: JsonObject): void {
    const id = JSON.stringify([topic, owner])
    const before = node.tracked.get(id)
    const diff = node.tracker.track(topic, key, owner, payload)
    expect(diff === null).toBe(before !== undefined && JSON.stringify(before) === JSON.stringify([topic, key, payload]))
    node.tracked.set(id, [topic, key, payload])
    if (diff !== null && typeof diff !== 'string') this.#show(node, new Map([[topic, diff]]))
  }

  untrack(node: Node, topic: string, owner: string): void {
    const diff = node.tracker.untrack(topic, owner, this.#now)
    expect(diff !== null).toBe(node.tracked.delete(JSON.stringify([topic, owner])))
    // It is empty where the entry lingers.
    if (diff !== null && countOf(diff) > 0) this.#show(node, new Map([[topic, diff]]))
  }

  #flush(node: Node, reaches: readonly boolean[]): void {
    const delta = node.tracker.takeDelta()
    if (delta === null) return
    for (const [at, other] of this.nodes.entries()) if (other !== node && reaches[at] === true) this.#send(other, delta)
  }

  #send(to: Node, delta: PresenceDelta): void {
    this.messages.push({ to, text: JSON.stringify(delta) })
  }

  #deliver(index: number, steps: number): void {
    const message = this.messages[index % this.messages.length]
    if (message === undefined) return
    message.to.tracker.merge(JSON.parse(message.text) as PresenceDelta, this.#now)
    this.#showSteps(message.to, steps)
  }

  #setStatus(status: 'up' | 'down' | 'gone', at: number, other: number, steps: number): void {
    if (at === other) return
    const name = `node-${other}`
    const node = this.node(at)
    if (status === 'up') node.tracker.replicaUp(name)
    else if (status === 'down') node.tracker.replicaDown(name)
    else node.tracker.replicaGone(name, this.#now)
    this.#showSteps(node, steps)
  }

  /** What is not shown now, is later, and other things happen in between. */
  #showSteps(node: Node, steps: number): void {
    for (let step = 0; step < steps && node.tracker.isBehind; step++) this.#show(node, node.tracker.show(2))
  }

  /** A client of the node reads the diffs; what it then sees must be the state. */
  #show(node: Node, diffs: PresenceDiffs): void {
    for (const [topic, diff] of diffs) {
      const view = node.views.get(topic) ?? new View()
      node.views.set(topic, view)
      view.apply(copy(diff))
      if (view.metas.size === 0) node.views.delete(topic)
      expect(countOf(diff)).toBeGreaterThan(0)
    }
    for (const topic of topics) {
      const state = Object.entries(node.tracker.state(topic)).map(([key, { metas }]) => [key, metas] as const)
      expect(new Map(copy(state))).toEqual(node.views.get(topic)?.metas ?? new Map())
    }
    expect(node.tracker.topicCount).toBe(node.views.size)
  }

  connect(): void {
    for (const node of this.nodes.keys()) for (const other of this.nodes.keys()) this.take({ do: 'up', node, other, steps: Infinity })
  }

  /** The network works again: a node that lacks something asks for it, and only then. What lingers does so for no longer than it may. */
  heal(): void {
    this.connect()
    for (const node of this.nodes) {
      for (const other of this.nodes) {
        if (!node.tracker.lacks(other.tracker.context())) continue
        node.tracker.merge(copy(other.tracker.delta(node.tracker.context())), this.#now)
      }
      this.#showSteps(node, Infinity)
      node.tracker.dropLingering(this.#now + LINGER_MS)
      this.#showSteps(node, Infinity)
    }
  }

  expectAgreement(): void {
    const [first, ...others] = this.nodes as [Node, ...Node[]]
    for (const topic of topics) {
      const tracked = this.nodes.flatMap((node) => [...node.tracked.values()].filter(([where]) => where === topic))
      const seen = Object.entries(first.tracker.state(topic)).flatMap(([key, { metas }]) =>
        metas.map(({ value }) => JSON.stringify([topic, key, { value }])),
      )
      expect(seen.sort()).toEqual(tracked.map((entry) => JSON.stringify(entry)).sort())
      for (const other of others) expect(inAnyOrder(other.tracker.state(topic))).toEqual(inAnyOrder(first.tracker.state(topic)))
    }
  }
}

const story = fc.record({
  size: fc.integer({ min: 2, max: 4 }),
  connected: fc.boolean(),
  steps: fc.array(step, { maxLength: 60, size: 'max' }),
})

function play({ size, connected, steps }: { size: number; connected: boolean; steps: readonly Step[] }): Cluster {
  const cluster = new Cluster(size)
  if (connected) cluster.connect()
  for (const each of steps) cluster.take(each)
  return cluster
}

describe(`a cluster (FC_SEED=${seed})`, () => {
  it('agrees in the end on what is tracked, and every view that follows the diffs is the state', () => {
    const property = fc.property(story, (given) => {
      const cluster = play(given)
      cluster.heal()
      cluster.expectAgreement()
      for (const one of cluster.nodes) for (const other of cluster.nodes) expect(one.tracker.lacks(other.tracker.context())).toBe(false)
    })
    fc.assert(property, { seed, numRuns: 1000 })
  })

  it('knows by contexts alone whether two nodes hold the same', () => {
    const property = fc.property(story, (given) => {
      const heldBy = new Map<string, string>()
      for (const { tracker } of play(given).nodes) {
        for (const { replica, seen: counters, entries } of tracker.delta()) {
          const held = JSON.stringify(entries.map(({ counter }) => counter).sort((a, b) => a - b))
          const context = JSON.stringify([replica, counters])
          expect(held).toBe(heldBy.get(context) ?? held)
          heldBy.set(context, held)
        }
      }
    })
    fc.assert(property, { seed, numRuns: 500 })
  })

  it('sends again nothing that the other side has', () => {
    const property = fc.property(story, (given) => {
      const cluster = play(given)
      cluster.heal()
      for (const one of cluster.nodes) for (const other of cluster.nodes) expect(one.tracker.delta(other.tracker.context())).toEqual([])
    })
    fc.assert(property, { seed, numRuns: 200 })
  })

  it('keeps nothing when all have left', () => {
    const property = fc.property(story, (given) => {
      const cluster = play(given)
      for (const one of cluster.nodes) {
        for (const id of one.tracked.keys()) cluster.untrack(one, ...(JSON.parse(id) as [string, string]))
      }
      cluster.heal()
      for (const { tracker } of cluster.nodes) {
        expect(tracker.topicCount).toBe(0)
        for (const { seen, entries } of tracker.delta()) {
          expect(entries).toEqual([])
          expect(seen).toEqual([1, expect.any(Number)])
        }
      }
    })
    fc.assert(property, { seed, numRuns: 200 })
  })
})
