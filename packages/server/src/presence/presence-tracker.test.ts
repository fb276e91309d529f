import type { JsonObject, PresenceDiff } from '@tidewire/protocol'
import { describe, expect, it } from 'vitest'
import { maxPayloadDepth } from './presence-meta.ts'
import { PresenceTracker } from './presence-tracker.ts'

const topic = 'realtime:room'

/** A tracker that gives out the refs r1, r2, …, and channels called a, b and c. */
function setup(): { tracker: PresenceTracker<object>; a: object; b: object; c: object } {
  let refs = 0
  const tracker = new PresenceTracker<object>({ replica: 'one', nextPhxRef: () => `r${++refs}` })
  return { tracker, a: { channel: 'a' }, b: { channel: 'b' }, c: { channel: 'c' } }
}

/** What a client reads. */
function wire(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value))
}

function nested(depth: number): JsonObject {
  let value: JsonObject = {}
  for (let level = 1; level < depth; level++) value = { inner: value }
  return value
}

describe('the frames of the reference', () => {
  it('reports a join, an update, a repetition and a leave', () => {
    const { tracker, a, b } = setup()
    expect(wire(tracker.state(topic))).toEqual({})
    expect(wire(tracker.track(topic, 'efa0', a, { user: 'A', n: 1 }))).toEqual({
      joins: { efa0: { metas: [{ phx_ref: 'r1', n: 1, user: 'A' }] } },
      leaves: {},
    })
    expect(wire(tracker.state(topic))).toEqual({ efa0: { metas: [{ phx_ref: 'r1', n: 1, user: 'A' }] } })
    expect(wire(tracker.track(topic, 'bob', b, { user: 'B' }))).toEqual({
      joins: { bob: { metas: [{ phx_ref: 'r2', user: 'B' }] } },
      leaves: {},
    })
    expect(wire(tracker.track(topic, 'bob', b, { user: 'B', v: 2 }))).toEqual({
      joins: { bob: { metas: [{ phx_ref: 'r3', phx_ref_prev: 'r2', user: 'B', v: 2 }] } },
      leaves: { bob: { metas: [{ phx_ref: 'r2', user: 'B' }] } },
    })
    expect(tracker.track(topic, 'bob', b, { v: 2, user: 'B' })).toBeNull()
    expect(wire(tracker.state(topic))).toEqual({
      efa0: { metas: [{ phx_ref: 'r1', n: 1, user: 'A' }] },
      bob: { metas: [{ phx_ref: 'r3', phx_ref_prev: 'r2', user: 'B', v: 2 }] },
    })
    expect(wire(tracker.untrack(topic, b))).toEqual({
      joins: {},
      leaves: { bob: { metas: [{ phx_ref: 'r3', phx_ref_prev: 'r2', user: 'B', v: 2 }] } },
    })
    expect(tracker.untrack(topic, b)).toBeNull()
    expect(wire(tracker.untrack(topic, a))).toEqual({ joins: {}, leaves: { efa0: { metas: [{ phx_ref: 'r1', n: 1, user: 'A' }] } } })
    expect(wire(tracker.state(topic))).toEqual({})
  })

  it('takes an empty payload, and updates it', () => {
    const { tracker, a } = setup()
    expect(wire(tracker.track(topic, '123', a, {}))).toEqual({ joins: { 123: { metas: [{ phx_ref: 'r1' }] } }, leaves: {} })
    expect(tracker.track(topic, '123', a, {})).toBeNull()
    expect(wire(tracker.track(topic, '123', a, { x: 1 }))).toEqual({
      joins: { 123: { metas: [{ phx_ref: 'r2', phx_ref_prev: 'r1', x: 1 }] } },
      leaves: { 123: { metas: [{ phx_ref: 'r1' }] } },
    })
  })

  it('lets several channels share a key', () => {
    const { tracker, a, b } = setup()
    tracker.track(topic, 'same', a, { from: 'A' })
    expect(wire(tracker.track(topic, 'same', b, { from: 'B' }))).toEqual({
      joins: { same: { metas: [{ phx_ref: 'r2', from: 'B' }] } },
      leaves: {},
    })
    expect(wire(tracker.state(topic))).toEqual({
      same: {
        metas: [
          { phx_ref: 'r1', from: 'A' },
          { phx_ref: 'r2', from: 'B' },
        ],
      },
    })
    expect(wire(tracker.untrack(topic, a))).toEqual({ joins: {}, leaves: { same: { metas: [{ phx_ref: 'r1', from: 'A' }] } } })
    expect(wire(tracker.state(topic))).toEqual({ same: { metas: [{ phx_ref: 'r2', from: 'B' }] } })
  })

  it('writes its own references first', () => {
    const { tracker, a } = setup()
    tracker.track(topic, 'k', a, { a: 1 })
    const diff = tracker.track(topic, 'k', a, { a: 2 }) as PresenceDiff
    expect(JSON.stringify(diff.joins)).toBe('{"k":{"metas":[{"phx_ref":"r2","phx_ref_prev":"r1","a":2}]}}')
  })
})

describe('order and identity', () => {
  it('keeps metas of a key in order of arrival; an update is a new arrival', () => {
    const { tracker, a, b, c } = setup()
    for (const owner of [a, b, c]) tracker.track(topic, 'k', owner, { n: 1 })
    const refs = (): string[] => tracker.state(topic)['k']!.metas.map((meta) => meta.phx_ref)
    expect(refs()).toEqual(['r1', 'r2', 'r3'])
    tracker.track(topic, 'k', a, { n: 2 })
    expect(refs()).toEqual(['r2', 'r3', 'r4'])
    tracker.untrack(topic, b)
    expect(refs()).toEqual(['r3', 'r4'])
  })

  it('treats another key of the same channel as a leave and a join', () => {
    const { tracker, a } = setup()
    tracker.track(topic, 'old', a, { n: 1 })
    expect(wire(tracker.track(topic, 'new', a, { n: 1 }))).toEqual({
      joins: { new: { metas: [{ phx_ref: 'r2', n: 1 }] } },
      leaves: { old: { metas: [{ phx_ref: 'r1', n: 1 }] } },
    })
    expect(Object.keys(tracker.state(topic))).toEqual(['new'])
  })

  it('keeps topics apart', () => {
    const { tracker, a } = setup()
    tracker.track('realtime:x', 'k', a, {})
    tracker.track('realtime:y', 'k', a, {})
    tracker.untrack('realtime:x', a)
    expect(wire(tracker.state('realtime:x'))).toEqual({})
    expect(wire(tracker.state('realtime:y'))).toEqual({ k: { metas: [{ phx_ref: 'r2' }] } })
  })

  it('returns the same state object until something changes', () => {
    const { tracker, a, b } = setup()
    tracker.track(topic, 'k', a, {})
    const state = tracker.state(topic)
    tracker.track(topic, 'k', a, {})
    tracker.untrack(topic, b)
    expect(tracker.state(topic)).toBe(state)
    tracker.track(topic, 'k', b, {})
    expect(tracker.state(topic)).not.toBe(state)
    expect(state['k']!.metas).toHaveLength(1)
  })
})

describe('hostile input', () => {
  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'toJSON', '', '0'])('takes %j as a key and as a topic', (name) => {
    const { tracker, a, b } = setup()
    const first = tracker.track(name, name, a, { n: 1 })
    tracker.track(name, name, b, { n: 2 })
    const metas = '[{"phx_ref":"r1","n":1}]'
    expect(JSON.stringify(first)).toBe(`{"joins":{${JSON.stringify(name)}:{"metas":${metas}}},"leaves":{}}`)
    expect(JSON.stringify(tracker.state(name))).toBe(`{${JSON.stringify(name)}:{"metas":[{"phx_ref":"r1","n":1},{"phx_ref":"r2","n":2}]}}`)
    expect(JSON.stringify(tracker.untrack(name, a))).toBe(`{"joins":{},"leaves":{${JSON.stringify(name)}:{"metas":${metas}}}}`)
    expect(({} as JsonObject)['metas']).toBeUndefined()
  })

  it('takes no references from a payload', () => {
    const { tracker, a } = setup()
    const forged = { phx_ref: 'mine', phx_ref_prev: 'theirs', n: 1 }
    expect(wire(tracker.track(topic, 'k', a, forged))).toEqual({ joins: { k: { metas: [{ phx_ref: 'r1', n: 1 }] } }, leaves: {} })
    expect(tracker.track(topic, 'k', a, { ...forged, phx_ref: 'other' })).toBeNull()
    expect(tracker.track(topic, 'k', a, { n: 1 })).toBeNull()
    expect(wire(tracker.track(topic, 'k', a, { ...forged, n: 2 }))).toMatchObject({
      joins: { k: { metas: [{ phx_ref: 'r2', phx_ref_prev: 'r1', n: 2 }] } },
    })
  })

  it('keeps a __proto__ inside a payload as an ordinary name', () => {
    const { tracker, a } = setup()
    const payload = JSON.parse('{"__proto__":{"admin":true},"inner":{"__proto__":[1]}}') as JsonObject
    tracker.track(topic, 'k', a, payload)
    expect(JSON.stringify(tracker.state(topic))).toBe(
      '{"k":{"metas":[{"phx_ref":"r1","__proto__":{"admin":true},"inner":{"__proto__":[1]}}]}}',
    )
    expect((tracker.state(topic)['k']!.metas[0] as JsonObject)['admin']).toBeUndefined()
  })

  it('counts no bytes of what lingers while the node drains', () => {
    const tracker = new PresenceTracker<object>({ replica: 'one', maxTopicBytes: 100, nextPhxRef: () => 'r' })
    tracker.replicaLeaving('one', 5_000)
    const [gone, returned] = [{}, {}]
    tracker.track(topic, 'a', gone, {}, 60)
    expect(tracker.untrack(topic, gone, 0)).toEqual({ joins: {}, leaves: {} })
    expect(tracker.track(topic, 'a', returned, {}, 60)).toMatchObject({ joins: { a: {} } })
    expect(tracker.track(topic, 'b', gone, {}, 41)).toBe('topic-full')
  })

  it('gives an entry that lingered, left for another of its key and comes back, a diff of its own', () => {
    const [{ tracker }, other] = [setup(), setup()]
    for (const owner of [other.a, other.b]) other.tracker.track(topic, 'k', owner, {})
    const delta = other.tracker.delta().map((part) => ({ ...part, replica: 'other' }))
    tracker.replicaUp('other')
    tracker.merge(delta)
    tracker.replicaLeaving('other', 5_000)
    tracker.replicaGone('other')
    tracker.replicaUp('other')
    tracker.merge(delta)
    const refs = (state?: PresenceDiff['joins']): string[] => (state?.['k']?.metas ?? []).map(({ phx_ref }) => phx_ref)
    const diffs: string[][][] = []
    while (tracker.isBehind) for (const { joins, leaves } of tracker.show(200).values()) diffs.push([refs(joins), refs(leaves)])
    expect(diffs).toEqual([
      [['r1', 'r2'], []],
      [[], ['r1']],
      [['r1'], ['r2']],
      [['r2'], []],
    ])
  })

  it('takes so many bytes in a topic: at the bound, one over it, and again once something is gone', () => {
    const tracker = new PresenceTracker<object>({ replica: 'one', maxTopicBytes: 100, nextPhxRef: () => 'r' })
    const [a, b, c] = [{}, {}, {}]
    tracker.track(topic, 'a', a, { n: 1 }, 60)
    expect(tracker.track(topic, 'b', b, { n: 1 }, 41)).toBe('topic-full')
    expect(tracker.tracked(topic, b)).toBeNull()
    expect(tracker.track('realtime:other', 'b', b, { n: 1 }, 100)).toMatchObject({ joins: { b: {} } })
    expect(tracker.track(topic, 'b', b, { n: 1 }, 40)).toMatchObject({ joins: { b: {} } })
    expect(tracker.track(topic, 'a', a, { n: 2 }, 61)).toBe('topic-full')
    expect(tracker.tracked(topic, a)?.meta).toMatchObject({ n: 1 })
    expect(tracker.track(topic, 'a', a, { n: 2 }, 50)).toMatchObject({ joins: { a: {} } })
    expect(tracker.track(topic, 'c', c, { n: 1 }, 11)).toBe('topic-full')
    tracker.untrack(topic, b)
    expect(tracker.track(topic, 'c', c, { n: 1 }, 50)).toMatchObject({ joins: { c: {} } })
  })

  it('writes the state once until it changes', () => {
    const { tracker, a, b } = setup()
    const written = (): unknown => JSON.parse(Buffer.from(tracker.stateText(topic)).toString())
    expect(written()).toEqual({})
    tracker.track(topic, 'k', a, { n: 1 })
    const first = tracker.stateText(topic)
    expect(written()).toEqual(tracker.state(topic))
    expect(tracker.stateText(topic)).toBe(first)
    tracker.track(topic, 'k', b, { n: 2 })
    expect(written()).toEqual({
      k: {
        metas: [
          { phx_ref: 'r1', n: 1 },
          { phx_ref: 'r2', n: 2 },
        ],
      },
    })
    tracker.untrack(topic, a)
    expect(written()).toEqual({ k: { metas: [{ phx_ref: 'r2', n: 2 }] } })
    tracker.untrack(topic, b)
    expect(written()).toEqual({})
  })

  it('refuses what could be read but not written, and changes nothing', () => {
    const { tracker, a } = setup()
    tracker.track(topic, 'k', a, { n: 1 })
    const before = JSON.stringify(tracker.state(topic))
    expect(tracker.track(topic, 'k', a, JSON.parse(`{"x":${'['.repeat(200_000)}${']'.repeat(200_000)}}`) as JsonObject)).toBe('too-deep')
    expect(tracker.track(topic, 'k', a, nested(maxPayloadDepth + 1))).toBe('too-deep')
    expect(JSON.stringify(tracker.state(topic))).toBe(before)
    expect(tracker.track(topic, 'k', a, nested(maxPayloadDepth))).not.toBe('too-deep')
    expect(tracker.track(topic, 'k', a, nested(maxPayloadDepth))).toBeNull()
    expect(JSON.stringify(tracker.state(topic))).toContain('"inner"')
  })
})
