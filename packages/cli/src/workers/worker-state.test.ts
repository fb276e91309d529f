import { describe, expect, test } from 'vitest'
import { initialWorker, troubleOf, workerTransition, type WorkerEvent, type WorkerState } from './worker-state.ts'

function run(from: WorkerState, ...events: readonly WorkerEvent['type'][]): { state: WorkerState; effects: string[] } {
  let state = from
  const effects: string[] = []
  for (const type of events) {
    const next = workerTransition(state, { type })
    state = next.state
    effects.push(...next.effects)
  }
  return { state, effects }
}

const STATES = {
  starting: initialWorker,
  'starting again': { kind: 'starting', crashes: 1 },
  up: { kind: 'up', crashes: 0, upBeats: 10, silentBeats: 0 },
  'up for a minute': { kind: 'up', crashes: 3, upBeats: 60, silentBeats: 0 },
  'up, about to be silent': { kind: 'up', crashes: 0, upBeats: 10, silentBeats: 4 },
  'up, about to be killed': { kind: 'up', crashes: 0, upBeats: 99, silentBeats: 59 },
  waiting: { kind: 'waiting', crashes: 3, beatsLeft: 2 },
  'waiting, the last beat': { kind: 'waiting', crashes: 3, beatsLeft: 1 },
  stopped: { kind: 'stopped' },
} as const satisfies Record<string, WorkerState>

/** The next state, then the effects. A state or event that is forgotten here does not compile. */
const TABLE: Record<keyof typeof STATES, Record<WorkerEvent['type'], string>> = {
  starting: { ready: 'up', alive: 'starting', beat: 'starting', ended: 'starting: start', stop: 'stopped' },
  'starting again': { ready: 'up', alive: 'starting', beat: 'starting', ended: 'waiting', stop: 'stopped' },
  up: { ready: 'up', alive: 'up', beat: 'up', ended: 'starting: start', stop: 'stopped' },
  'up for a minute': { ready: 'up', alive: 'up', beat: 'up', ended: 'starting: start', stop: 'stopped' },
  'up, about to be silent': { ready: 'up', alive: 'up', beat: 'up: warn-silent', ended: 'starting: start', stop: 'stopped' },
  'up, about to be killed': { ready: 'up', alive: 'up', beat: 'up: kill', ended: 'starting: start', stop: 'stopped' },
  waiting: { ready: 'waiting', alive: 'waiting', beat: 'waiting', ended: 'waiting', stop: 'stopped' },
  'waiting, the last beat': { ready: 'waiting', alive: 'waiting', beat: 'starting: start', ended: 'waiting', stop: 'stopped' },
  stopped: { ready: 'stopped', alive: 'stopped', beat: 'stopped', ended: 'stopped', stop: 'stopped' },
}

describe.each(Object.keys(TABLE) as (keyof typeof TABLE)[])('%s', (from) => {
  test.each(Object.entries(TABLE[from]) as [WorkerEvent['type'], string][])('%s → %s', (type, expected) => {
    const { state, effects } = workerTransition(STATES[from], { type })
    expect([state.kind, ...effects].join(': ')).toBe(expected)
  })
})

const beats = (count: number): 'beat'[] => Array.from({ length: count }, () => 'beat')
const up = run(initialWorker, 'ready').state

describe('a worker', () => {
  test('that ends is replaced at once', () => {
    const { state, effects } = run(up, 'ended')
    expect(effects).toEqual(['start'])
    expect(troubleOf(2, state)).toBe('worker 2 ended and is being started again')
    expect(troubleOf(2, run(state, 'ready').state)).toBeNull()
  })

  test('that crashes in a loop is started ever later, and half a minute later at most', () => {
    let state = up
    const waits: number[] = []
    for (let crash = 0; crash < 9; crash++) {
      let { state: next, effects } = run(state, 'ended')
      let waited = 0
      while (effects.length === 0) {
        waited++
        ;({ state: next, effects } = run(next, 'beat'))
      }
      expect(effects).toEqual(['start'])
      waits.push(waited)
      state = run(next, 'ready', ...beats(10).flatMap((beat) => [beat, 'alive' as const])).state
    }
    expect(waits).toEqual([0, 1, 2, 4, 8, 16, 30, 30, 30])
    expect(troubleOf(1, run(state, 'ended').state)).toBe('worker 1 ended 10 times in a row and is started again in 30 s')
  })

  test('that ran for a minute in between is replaced at once again', () => {
    const crashed = run(up, 'ended', 'ready', 'ended', 'beat', 'ready').state
    const stable = run(crashed, ...beats(60).flatMap((beat) => [beat, 'alive' as const])).state
    expect(run(stable, 'ended').effects).toEqual(['start'])
  })

  test('that does not answer is named after five seconds, and killed after a minute', () => {
    expect(run(up, ...beats(4)).effects).toEqual([])
    const silent = run(up, ...beats(5))
    expect(silent.effects).toEqual(['warn-silent'])
    expect(troubleOf(3, silent.state)).toBe('worker 3 has not answered for 5 s')
    expect(troubleOf(3, run(silent.state, 'alive').state)).toBeNull()
    expect(run(silent.state, ...beats(54)).effects).toEqual([])
    expect(run(silent.state, ...beats(55)).effects).toEqual(['kill'])
  })

  test('that was asked to stop is not started again', () => {
    expect(run(up, 'stop', 'ended', ...beats(100))).toEqual({ state: { kind: 'stopped' }, effects: [] })
    expect(run(up, 'ended', 'ready', 'ended', 'stop', ...beats(100)).effects).toEqual(['start'])
  })
})
