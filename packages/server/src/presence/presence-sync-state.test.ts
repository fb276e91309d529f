import { describe, expect, it } from 'vitest'
import {
  initialPresenceSync,
  presenceSyncOptions as options,
  presenceSyncTransition,
  type PresenceSyncEffect,
  type PresenceSyncEvent,
  type PresenceSyncState,
} from './presence-sync-state.ts'

type Kind = 'alone' | 'unknown' | 'up' | 'down' | 'ended'

const replica = (view: 'up' | 'down', silentBeats = 1, askedBeats: number | null = null) => ({ view, silentBeats, askedBeats })
const ended = new Map<string, number>()
const states: Readonly<Record<Kind, PresenceSyncState>> = {
  alone: { linked: false, replicas: new Map([['b', replica('up')]]), ended },
  unknown: { linked: true, replicas: new Map(), ended },
  up: { linked: true, replicas: new Map([['b', replica('up')]]), ended },
  down: { linked: true, replicas: new Map([['b', replica('down', 9)]]), ended },
  ended: { linked: true, replicas: new Map(), ended: new Map([['b', 3]]) },
}

const delta = [{ replica: 'b', seen: [1, 1], entries: [] }]
const context = [{ replica: 'a', seen: [] }]
const events = {
  linkUp: { type: 'link', up: true },
  linkDown: { type: 'link', up: false },
  beat: { type: 'beat' },
  inputRead: { type: 'input-read' },
  digest: { type: 'digest', from: 'b', lacks: false },
  digestLacks: { type: 'digest', from: 'b', lacks: true },
  ask: { type: 'ask', from: 'b', context },
  delta: { type: 'delta', from: 'b', delta, lingering: [] },
  leaving: { type: 'leaving', replica: 'b', spreadMs: 3_000 },
  gone: { type: 'gone', replica: 'b' },
  returned: { type: 'returned', replica: 'b' },
  changed: { type: 'changed' },
} as const satisfies Record<string, PresenceSyncEvent>

/** Effects in short: their type, and the replica. */
const short = (effect: PresenceSyncEffect): string => ('replica' in effect ? `${effect.type} ${effect.replica}` : effect.type)

/** What each event brings about in each state. A forgotten cell does not compile. */
const table: Readonly<Record<Kind, Readonly<Record<keyof typeof events, readonly string[]>>>> = {
  alone: {
    linkUp: ['send-changes', 'send-digest'],
    linkDown: [],
    beat: ['drop-lingering'],
    inputRead: [],
    digest: [],
    digestLacks: ['ask b'],
    ask: ['answer b'],
    delta: ['merge'],
    leaving: ['replica-leaving b'],
    gone: ['replica-gone b'],
    returned: [],
    changed: [],
  },
  unknown: {
    linkUp: [],
    linkDown: [],
    beat: ['send-digest', 'read-input'],
    inputRead: ['drop-lingering'],
    digest: ['replica-up b', 'ask b'],
    digestLacks: ['replica-up b', 'ask b'],
    ask: ['replica-up b', 'answer b'],
    delta: ['replica-up b', 'merge'],
    leaving: ['replica-up b', 'replica-leaving b'],
    gone: [],
    returned: [],
    changed: ['send-changes'],
  },
  up: {
    linkUp: [],
    linkDown: [],
    beat: ['send-digest', 'read-input'],
    inputRead: ['drop-lingering'],
    digest: [],
    digestLacks: ['ask b'],
    ask: ['answer b'],
    delta: ['merge'],
    leaving: ['replica-leaving b'],
    gone: ['replica-gone b'],
    returned: [],
    changed: ['send-changes'],
  },
  down: {
    linkUp: [],
    linkDown: [],
    beat: ['send-digest', 'read-input'],
    inputRead: ['drop-lingering'],
    digest: ['replica-up b'],
    digestLacks: ['replica-up b', 'ask b'],
    ask: ['replica-up b', 'answer b'],
    delta: ['replica-up b', 'merge'],
    leaving: ['replica-up b', 'replica-leaving b'],
    gone: ['replica-gone b'],
    returned: [],
    changed: ['send-changes'],
  },
  ended: {
    linkUp: [],
    linkDown: [],
    beat: ['send-digest', 'read-input'],
    inputRead: ['drop-lingering'],
    digest: [],
    digestLacks: [],
    ask: [],
    delta: [],
    leaving: [],
    gone: [],
    returned: [],
    changed: ['send-changes'],
  },
}

describe('presence-sync', () => {
  it('takes no late message of a replica that is gone, and takes it back after a while', () => {
    const [state, effects] = play(states.up, events.gone, events.delta, events.digest, events.ask, events.leaving)
    expect(effects).toEqual(['replica-gone b'])
    const later = Array.from({ length: options.endedForBeats }, () => events.beat)
    expect(play(state, ...later.slice(1), events.delta)[1]).not.toContain('merge')
    expect(play(state, ...later, events.delta)[1]).toContain('merge')
  })

  it('takes a replica back at once whose node was only given up, and is heard again', () => {
    const [given] = play(states.up, events.gone)
    expect(play(given, events.digest)[1]).toEqual([])
    expect(play(given, events.returned, events.digest)[1]).toEqual(['replica-up b', 'ask b'])
  })

  for (const kind of Object.keys(table) as Kind[])
    it.each(Object.entries(table[kind]))(`${kind}: %s`, (event, effects) => {
      const before = states[kind]
      const { state, effects: made } = presenceSyncTransition(before, events[event as keyof typeof events], options)
      expect(made.map(short)).toEqual(effects)
      if (effects.some((effect) => effect.startsWith('replica-up')))
        expect(state.replicas.get('b')).toMatchObject({ view: 'up', silentBeats: 0 })
      if (effects.includes('replica-gone b')) expect(state.replicas.has('b')).toBe(false)
    })

  /** Takes events in a row; returns the effects of all, without what each heartbeat brings. */
  function play(from: PresenceSyncState, ...given: readonly PresenceSyncEvent[]): [PresenceSyncState, string[]] {
    const all: string[] = []
    let state = from
    for (const event of given) {
      const step = presenceSyncTransition(state, event, options)
      state = step.state
      all.push(...step.effects.map(short).filter((effect) => effect !== 'drop-lingering'))
    }
    return [state, all]
  }
  const silence = (beats: number): PresenceSyncEvent[] => Array.from({ length: beats }, () => events.inputRead)

  const { downAfterBeats, downAfterReturnBeats, goneAfterBeats, askAgainAfterBeats } = options

  it('takes a replica out of view after some silent heartbeats, and forgets it after many', () => {
    const [heard] = play(states.unknown, events.digest)
    const [still, none] = play(heard, ...silence(downAfterBeats))
    expect(none).toEqual([])
    const [down, falls] = play(still, ...silence(1))
    expect(falls).toEqual(['replica-down b'])
    const [last, nothing] = play(down, ...silence(goneAfterBeats - downAfterBeats - 1))
    expect(nothing).toEqual([])
    expect(play(last, ...silence(1))[1]).toEqual(['replica-gone b'])
  })

  it.each([0, 1, downAfterBeats])('counts no silence while the own link is down, nor the %i beats before, and then fewer', (before) => {
    const [heard] = play(states.unknown, events.digest)
    const [cut, none] = play(heard, ...silence(before), events.linkDown, ...silence(100))
    expect(none).toEqual([])
    const [back] = play(cut, events.linkUp)
    const [still, kept] = play(back, ...silence(downAfterReturnBeats))
    expect(kept).toEqual([])
    expect(play(still, ...silence(1))[1]).toEqual(['replica-down b'])
    // The first word gives it all of its time again.
    const [returned] = play(still, events.digest)
    expect(play(returned, ...silence(downAfterBeats))[1]).toEqual([])
    expect(play(returned, ...silence(downAfterBeats + 1))[1]).toEqual(['replica-down b'])
  })

  it('asks once, and again when the answer did not come', () => {
    const beats = Array.from({ length: askAgainAfterBeats - 1 }, () => events.beat)
    const [asked, first] = play(states.up, events.digestLacks, events.digestLacks, ...beats, events.digestLacks)
    expect(first.filter((effect) => effect === 'ask b')).toHaveLength(1)
    expect(play(asked, events.beat, events.digestLacks)[1]).toContain('ask b')
    const [answered] = play(asked, events.digest)
    expect(play(answered, events.digestLacks)[1]).toContain('ask b')
  })

  it('begins alone, without replicas', () => {
    expect(initialPresenceSync).toEqual({ linked: false, replicas: new Map(), ended: new Map() })
  })
})
