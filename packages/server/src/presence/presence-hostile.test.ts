import { describe, expect, it } from 'vitest'
import { StepQueue } from '../limits/step-queue.ts'
import { PresenceReplication } from './presence-replication.ts'
import { PresenceTracker } from './presence-tracker.ts'
import { decodePresenceMessage } from './presence-wire.ts'

const topic = 'public:room'

function text(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}

function entry(counter: number, key = 'k'): object {
  return { counter, topic, key, meta: { phx_ref: String(counter) } }
}

function delta(replica: string, seen: readonly number[], entries: readonly object[]): object {
  return { type: 'delta', delta: [{ replica, seen, entries }] }
}

function node() {
  const faults: string[] = []
  const sent: { readonly bytes: Uint8Array; readonly to: string | undefined }[] = []
  const turnEnds: (() => void)[] = []
  let refs = 0
  const tracker = new PresenceTracker<object>({ replica: 'self', nextPhxRef: () => String(++refs) })
  const runtime = { uptime: () => 0, setTimer: () => ({ cancel: () => {} }), endOfTurn: (run: () => void) => void turnEnds.push(run) }
  const replication = new PresenceReplication({
    runtime,
    steps: new StepQueue(runtime),
    relay: {
      self: { instance: 'self', name: 'self', version: '1', startedAt: 0 },
      send: (_, bytes, to) => {
        sent.push({ bytes, to })
        return true
      },
      caughtUp: () => Promise.resolve(true),
    },
    tracker,
    announce: () => {},
    fault: (detail) => faults.push(detail),
  })
  replication.onLink({ state: 'up', sinceUptimeMs: 0 })
  sent.length = 0
  const runTurns = (): void => {
    while (turnEnds.length > 0) turnEnds.shift()!()
  }
  return { tracker, replication, faults, sent, runTurns }
}

describe('a presence message that contradicts itself', () => {
  it.each([
    ['an entry that it has not seen', delta('a', [1, 2], [entry(3)])],
    ['an entry between what it has seen', delta('a', [1, 1, 3, 3], [entry(2)])],
    ['an entry without anything seen', delta('a', [], [entry(1)])],
    ['two entries of one number', delta('a', [1, 2], [entry(1), entry(1, 'other')])],
    ['what lingers for no time that there is', { type: 'delta', delta: [], lingering: [{ entry: entry(1), forMs: -1 }] }],
    ['what lingers and is no entry', { type: 'delta', delta: [], lingering: [{ entry: {}, forMs: 1 }] }],
    ['what lingers and is no list', { type: 'delta', delta: [], lingering: {} }],
  ])('is refused: %s', (_, message) => {
    expect(decodePresenceMessage(text(message))).toMatchObject({ ok: false })
  })

  it('leaves no ghost behind: every entry that comes in goes again', () => {
    const { tracker, replication, faults } = node()
    replication.onNodeMessage(text(delta('a', [1, 1], [entry(1), entry(1)])), 'a')
    for (const _ of [1, 2]) replication.onNodeMessage(text(delta('a', [], [entry(5)])), 'a')
    replication.onNodeMessage(text(delta('a', [1, 9], [])), 'a')
    expect(Object.keys(tracker.state(topic))).toEqual([])
    expect(faults).toHaveLength(3)
  })

  it('is refused where it speaks for another node', () => {
    const { tracker, replication, faults } = node()
    replication.onNodeMessage(text(delta('a', [1, 1], [entry(1)])), 'a')
    replication.onNodeMessage(text(delta('a', [1, 2], [])), 'b')
    expect(Object.keys(tracker.state(topic))).toEqual(['k'])
    expect(faults).toEqual(['A presence message of node b speaks for another node'])
  })
})

it('a node that asks again and again is answered once at a time', () => {
  const { tracker, replication, sent, runTurns } = node()
  replication.onNodeMessage(text({ type: 'digest', context: [] }), 'a')
  for (let count = 0; count < 3_000; count++) tracker.track(topic, `key ${count}`, {}, { text: 'x'.repeat(100) })
  tracker.takeDelta()
  sent.length = 0
  for (let count = 0; count < 100; count++) replication.onNodeMessage(text({ type: 'ask', context: [] }), 'a')
  runTurns()
  const once = sent.reduce((sum, { bytes }) => sum + bytes.length, 0)
  expect(once).toBeGreaterThan(3_000 * 100)
  expect(once).toBeLessThan(3_000 * 400)
  replication.onNodeMessage(text({ type: 'ask', context: [] }), 'a')
  runTurns()
  expect(sent.reduce((sum, { bytes }) => sum + bytes.length, 0)).toBe(2 * once)
})
