import { expect, test } from 'vitest'
import { feedChannelTransition, type ChannelEvent, type ChannelState } from './channel-state.ts'

const here = { commitLsn: 5n, seq: 0 }
const there = { commitLsn: 9n, seq: 2 }

const states: { readonly [Kind in ChannelState['kind']]: Extract<ChannelState, { kind: Kind }> } = {
  waiting: { kind: 'waiting' },
  planning: { kind: 'planning' },
  registered: { kind: 'registered', missed: null },
  replaying: { kind: 'replaying', after: here },
  live: { kind: 'live', after: here },
  closed: { kind: 'closed' },
}

const events: { readonly [Type in ChannelEvent['type']]: Extract<ChannelEvent, { type: Type }> } = {
  'epoch-known': { type: 'epoch-known' },
  registered: { type: 'registered', missed: null },
  replayed: { type: 'replayed', after: there },
  gap: { type: 'gap', missed: 'other-epoch' },
  started: { type: 'started', after: there },
  'other-log': { type: 'other-log', after: there },
  closed: { type: 'closed' },
}

/** The state that follows; `same`: the event means nothing there. A state or an event without a row does not compile. */
const table: Record<ChannelState['kind'], Record<ChannelEvent['type'], ChannelState['kind'] | 'same'>> = {
  waiting: {
    'epoch-known': 'planning',
    registered: 'same',
    replayed: 'same',
    gap: 'same',
    started: 'same',
    'other-log': 'same',
    closed: 'closed',
  },
  planning: {
    'epoch-known': 'same',
    registered: 'registered',
    replayed: 'replaying',
    gap: 'same',
    started: 'same',
    'other-log': 'same',
    closed: 'closed',
  },
  registered: {
    'epoch-known': 'same',
    registered: 'same',
    replayed: 'same',
    gap: 'same',
    started: 'live',
    'other-log': 'same',
    closed: 'closed',
  },
  replaying: {
    'epoch-known': 'same',
    registered: 'same',
    replayed: 'replaying',
    gap: 'registered',
    started: 'live',
    'other-log': 'same',
    closed: 'closed',
  },
  live: {
    'epoch-known': 'same',
    registered: 'same',
    replayed: 'same',
    gap: 'same',
    started: 'same',
    'other-log': 'live',
    closed: 'closed',
  },
  closed: {
    'epoch-known': 'same',
    registered: 'same',
    replayed: 'same',
    gap: 'same',
    started: 'same',
    'other-log': 'same',
    closed: 'same',
  },
}

for (const kind of Object.keys(table) as ChannelState['kind'][]) {
  for (const type of Object.keys(table[kind]) as ChannelEvent['type'][]) {
    test(`${kind}, ${type}: ${table[kind][type]}`, () => {
      const before = states[kind]
      const after = feedChannelTransition(before, events[type])
      if (table[kind][type] === 'same') expect(after).toBe(before)
      else {
        expect(after.kind).toBe(table[kind][type])
        if ('after' in after) expect(after.after).toBe(there)
      }
    })
  }
}
