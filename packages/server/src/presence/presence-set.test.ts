import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { PresenceDelta, PresenceEntry } from './presence-set.ts'
import { PresenceSet } from './presence-set.ts'

const seed = Number(process.env['FC_SEED'] ?? Date.now() % 2 ** 31)

const topic = 'realtime:room'
const refs = (entries: readonly PresenceEntry[]): string[] => entries.map(({ meta }) => meta.phx_ref)

/** Two sets that hear each other. */
function pair(): { here: PresenceSet; there: PresenceSet } {
  const here = new PresenceSet('here')
  const there = new PresenceSet('there')
  here.replicaUp('there')
  there.replicaUp('here')
  return { here, there }
}

function add(set: PresenceSet, ref: string, replaced?: PresenceEntry): PresenceEntry {
  return set.add(topic, 'k', { phx_ref: ref }, replaced)
}

function taken(set: PresenceSet): PresenceDelta {
  const delta = set.takeDelta()
  if (delta === null) throw new Error('There is nothing to send.')
  return JSON.parse(JSON.stringify(delta)) as PresenceDelta
}

function present(set: PresenceSet, replica: string): string[] {
  return refs(set.delta().flatMap((part) => (part.replica === replica ? part.entries : []))).sort()
}

describe('deltas', () => {
  it('carry an addition, an update in one piece, and a removal', () => {
    const { here, there } = pair()
    const first = add(here, 'a1')
    const joined = taken(here)
    expect(joined).toEqual([{ replica: 'here', seen: [1, 1], entries: [first] }])
    const second = add(here, 'a2', first)
    const updated = taken(here)
    expect(updated).toEqual([{ replica: 'here', seen: [1, 3], entries: [second] }])
    here.remove(second)
    const removed = taken(here)
    expect(removed).toEqual([{ replica: 'here', seen: [3, 4], entries: [] }])
    expect(here.takeDelta()).toBeNull()

    expect(there.merge(joined)).toEqual({ joined: [first], left: [] })
    expect(there.merge(updated)).toEqual({ joined: [second], left: [first] })
    expect(there.merge(removed)).toEqual({ joined: [], left: [second] })
    for (const late of [joined, updated, removed]) expect(there.merge(late)).toEqual({ joined: [], left: [] })
    expect(there.context()).toEqual(here.context().toReversed())
  })

  it('leave out what came and went between two of them', () => {
    const { here, there } = pair()
    here.remove(add(here, 'a1'))
    const delta = taken(here)
    expect(delta).toEqual([{ replica: 'here', seen: [1, 2], entries: [] }])
    expect(there.merge(delta)).toEqual({ joined: [], left: [] })
  })

  it('do not hide a lost update behind the removal that follows it', () => {
    const { here, there } = pair()
    const first = add(here, 'a1')
    const late = taken(here)
    const second = add(here, 'a2', first)
    const lost = taken(here)
    here.remove(second)
    there.merge(taken(here))
    there.merge(late)
    expect(present(there, 'here')).toEqual(['a1'])
    expect(there.lacks(here.context())).toBe(true)
    expect(there.merge(here.delta(there.context()))).toEqual({ joined: [], left: [first] })
    expect(there.merge(lost)).toEqual({ joined: [], left: [] })
  })

  it('are not gathered while there is no other replica', () => {
    const alone = new PresenceSet('alone')
    add(alone, 'a1')
    expect(alone.takeDelta()).toBeNull()
    alone.replicaUp('other')
    expect(alone.takeDelta()).toBeNull()
    add(alone, 'a2')
    expect(refs(taken(alone)[0]!.entries)).toEqual(['a2'])
    add(alone, 'a3')
    alone.replicaGone('other')
    expect(alone.takeDelta()).toBeNull()
  })

  it('since a context hold what is new, and what is gone, but not again what is there', () => {
    const { here, there } = pair()
    const [first, second] = [add(here, 'a1'), add(here, 'a2')]
    there.merge(here.delta())
    here.remove(first)
    add(here, 'a4')
    const delta = here.delta(there.context())
    expect(delta.map((part) => ({ seen: part.seen, refs: refs(part.entries) }))).toEqual([{ seen: [1, 1, 3, 4], refs: ['a4'] }])
    expect(there.lacks(here.context())).toBe(true)
    there.merge(delta)
    expect(present(there, 'here')).toEqual(['a2', 'a4'])
    expect(there.lacks(here.context())).toBe(false)
    expect(there.merge(here.delta())).toEqual({ joined: [], left: [] })
    expect(second.counter).toBe(2)
  })

  it('that were lost are noticed, a removal too', () => {
    const { here, there } = pair()
    const first = add(here, 'a1')
    there.merge(taken(here))
    here.remove(first)
    taken(here)
    expect(there.lacks(here.context())).toBe(true)
    there.merge(here.delta(there.context()))
    expect(present(there, 'here')).toEqual([])
  })
})

describe(`adding wins (FC_SEED=${seed})`, () => {
  it('over a removal that is delivered later', () => {
    const { here, there } = pair()
    here.remove(add(here, 'a1'))
    const removal = taken(here)
    add(here, 'a2')
    there.merge(taken(here))
    expect(there.merge(removal)).toEqual({ joined: [], left: [] })
    expect(present(there, 'here')).toEqual(['a2'])
  })

  it('over a removal of the same key on another replica at the same time', () => {
    const { here, there } = pair()
    const mine = add(here, 'a1')
    there.merge(taken(here))
    here.remove(mine)
    add(there, 'b1')
    const [removal, addition] = [taken(here), taken(there)]
    here.merge(addition)
    there.merge(removal)
    for (const set of [here, there]) expect([...present(set, 'here'), ...present(set, 'there')]).toEqual(['b1'])
  })

  it('whatever the order of deltas, and however often each comes', () => {
    const acts = fc.array(fc.constantFrom('add', 'replace', 'remove', 'flush'), { minLength: 1, maxLength: 20, size: 'max' })
    const property = fc.property(acts, fc.infiniteStream(fc.nat()), (todo, random) => {
      const { here, there } = pair()
      const live: PresenceEntry[] = []
      const deltas: PresenceDelta[] = []
      for (const [at, act] of todo.entries()) {
        const some = act === 'replace' || act === 'remove' ? live.splice(random.next().value! % (live.length || 1), 1)[0] : undefined
        if (act === 'remove' && some !== undefined) here.remove(some)
        if (act === 'add' || act === 'replace') live.push(add(here, `r${at}`, some))
        if (act === 'flush') deltas.push(here.takeDelta() ?? [])
      }
      deltas.push(here.takeDelta() ?? [])
      const waiting = [...deltas, ...deltas]
      const view = new Set<string>()
      while (waiting.length > 0) {
        const { joined, left } = there.merge(waiting.splice(random.next().value! % waiting.length, 1)[0]!)
        for (const ref of refs(joined)) view.add(ref)
        for (const ref of refs(left)) expect(view.delete(ref)).toBe(true)
      }
      expect(present(there, 'here')).toEqual(refs(live).sort())
      expect([...view].sort()).toEqual(refs(live).sort())
      expect(there.lacks(here.context())).toBe(false)
    })
    fc.assert(property, { seed, numRuns: 1000 })
  })
})

describe('replicas', () => {
  it('that are down leave the view, are kept current, and come back as they are', () => {
    const { here, there } = pair()
    const first = add(here, 'a1')
    there.merge(taken(here))
    expect(there.replicaDown('here')).toEqual({ joined: [], left: [first] })
    expect(there.replicaDown('here')).toEqual({ joined: [], left: [] })
    const second = add(here, 'a2', first)
    expect(there.merge(taken(here))).toEqual({ joined: [], left: [] })
    expect(there.replicaUp('here')).toEqual({ joined: [second], left: [] })
    expect(there.replicaUp('here')).toEqual({ joined: [], left: [] })
  })

  it('that are gone are forgotten, and do not come back through a third one', () => {
    const { here, there } = pair()
    const third = new PresenceSet('third')
    third.replicaUp('here')
    const entry = add(here, 'a1')
    third.merge(here.delta())
    there.merge(here.delta())
    expect(there.replicaGone('here')).toEqual({ joined: [], left: [entry] })
    there.replicaUp('third')
    expect(there.merge(third.delta())).toEqual({ joined: [], left: [] })
    expect(there.lacks(third.context())).toBe(false)
    there.replicaUp('here')
    expect(there.lacks(here.context())).toBe(true)
    expect(there.merge(here.delta(there.context()))).toEqual({ joined: [entry], left: [] })
  })

  it('that were never declared up are not heard', () => {
    const { here } = pair()
    const stranger = new PresenceSet('stranger')
    add(stranger, 's1')
    expect(here.merge(stranger.delta())).toEqual({ joined: [], left: [] })
    expect(here.replicaUp('stranger')).toEqual({ joined: [], left: [] })
    expect(refs(here.merge(stranger.delta()).joined)).toEqual(['s1'])
  })

  it('cannot take away what another one tracks', () => {
    const { here, there } = pair()
    const entry = add(here, 'a1')
    expect(here.merge([{ replica: 'here', seen: [1, 9], entries: [] }])).toEqual({ joined: [], left: [] })
    expect(present(here, 'here')).toEqual(['a1'])
    expect(() => there.remove(entry)).toThrow('Only a present entry')
  })

  it('are not down for themselves, and remove an entry once', () => {
    const { here } = pair()
    expect(() => here.replicaDown('here')).toThrow('cannot be down for itself')
    expect(() => here.replicaGone('here')).toThrow('cannot be down for itself')
    const entry = add(here, 'a1')
    here.remove(entry)
    expect(() => here.remove(entry)).toThrow('Only a present entry')
  })
})
