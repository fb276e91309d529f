import { describe, expect, test } from 'vitest'
import { AuthorizationQueue, MAX_WAIT_MS, MAX_WAITING, type Asker, type Outcome, type Question } from './authorization-queue.ts'
import type { BatchTimes } from './authorization-sql.ts'
import { FairLine } from './fair-line.ts'

interface Batch {
  readonly keys: readonly string[]
  readonly times: BatchTimes
  answer(...outcomes: Outcome<string>[]): Promise<void>
}

/** A queue whose batches are answered by hand, and whose clock stands still until `pass`. */
class ByHand {
  readonly batches: Batch[] = []
  readonly answers = new Map<string, string[]>()
  readonly queue: AuthorizationQueue<Question, string>
  #now = 0
  readonly #timers: { at: number; callback: () => void }[] = []

  constructor(concurrency = 1) {
    this.queue = new AuthorizationQueue<Question, string>({
      runtime: {
        uptime: () => this.#now,
        setTimer: (callback, afterMs) => {
          this.#timers.push({ at: this.#now + afterMs, callback })
          return { cancel: () => {} }
        },
      },
      concurrency,
      timedOut: (wasAsked) => (wasAsked ? 'no answer' : 'no session'),
      ask: (questions, times) =>
        new Promise((resolve) =>
          this.batches.push({
            keys: questions.map(({ key }) => key),
            times,
            answer: async (...outcomes) => {
              resolve(outcomes)
              await turns()
            },
          }),
        ),
    })
  }

  ask(key: string, origin: unknown = key, isWaiting: Asker['isWaiting'] = () => true): void {
    const answers = this.answers.get(key) ?? []
    this.answers.set(key, answers)
    void this.queue.ask({ key }, { origin, isWaiting }).then((answer) => answers.push(answer))
  }

  async pass(ms: number): Promise<void> {
    const until = this.#now + ms
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= until).toSorted((one, other) => one.at - other.at)[0]
      if (next === undefined) break
      this.#timers.splice(this.#timers.indexOf(next), 1)
      this.#now = next.at
      next.callback()
    }
    this.#now = until
    await turns()
  }
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve()
}

const yes: Outcome<string> = { kind: 'answered', answer: 'yes' }
const slow: Outcome<string> = { kind: 'slow', answer: 'cancelled' }
const notAsked: Outcome<string> = { kind: 'not-asked' }
const suspect: Outcome<string> = { kind: 'suspect' }

describe('batches', () => {
  test('questions of one turn are one batch; equal ones are asked once', async () => {
    const it = new ByHand()
    it.ask('a')
    it.ask('a', 'another')
    it.ask('b')
    await turns()
    expect(it.batches[0]!.keys).toEqual(['a', 'b'])
    await it.batches[0]!.answer(yes, { kind: 'answered', answer: 'no' })
    expect(Object.fromEntries(it.answers)).toEqual({ a: ['yes', 'yes'], b: ['no'] })
  })

  test('an answer is never for a question that came after its batch began', async () => {
    const it = new ByHand()
    it.ask('a')
    await turns()
    it.ask('a')
    await it.batches[0]!.answer(yes)
    expect(it.answers.get('a')).toEqual(['yes'])
    expect(it.batches[1]!.keys).toEqual(['a'])
    await it.batches[1]!.answer({ kind: 'answered', answer: 'no longer' })
    expect(it.answers.get('a')).toEqual(['yes', 'no longer'])
  })

  test('what was not asked is asked again, before later questions of its origin, and with those that became equal meanwhile', async () => {
    const it = new ByHand()
    it.ask('a', 'socket')
    it.ask('b', 'socket')
    await turns()
    it.ask('b', 'socket')
    it.ask('c', 'socket')
    await it.batches[0]!.answer(yes, notAsked)
    expect(it.batches[1]!.keys).toEqual(['b', 'c'])
    await it.batches[1]!.answer(yes, yes)
    expect(Object.fromEntries(it.answers)).toEqual({ a: ['yes'], b: ['yes', 'yes'], c: ['yes'] })
  })

  test('as many batches as may run at a time, of fifty at most', async () => {
    const it = new ByHand(2)
    for (let n = 0; n < 120; n++) it.ask(`${n}`)
    await turns()
    expect(it.batches.map(({ keys }) => keys.length)).toEqual([50, 50])
  })
})

describe('a slow question', () => {
  test('is asked alone with more time, and the batches go on beside it', async () => {
    const it = new ByHand()
    it.ask('sleeps')
    it.ask('b')
    await turns()
    await it.batches[0]!.answer(slow, notAsked)
    expect(it.batches.slice(1).map(({ keys, times }) => [keys, times.timeoutMs])).toEqual([
      [['b'], 500],
      [['sleeps'], 5_000],
    ])
    await it.batches[1]!.answer(yes)
    it.ask('c')
    await turns()
    expect(it.batches[3]!.keys).toEqual(['c'])
    await it.batches[2]!.answer(slow)
    expect(it.answers.get('sleeps')).toEqual(['cancelled'])
  })

  test('that is one of a batch without an answer is asked alone, as all of it are, and blames no origin', async () => {
    const it = new ByHand(2)
    for (const key of ['hangs', 'b', 'c']) it.ask(key)
    await turns()
    await it.batches[0]!.answer(suspect, suspect, suspect)
    expect(it.batches.slice(1).map(({ keys, times }) => [keys, times.timeoutMs])).toEqual([
      [['hangs'], 5_000],
      [['b'], 5_000],
    ])
    await it.batches[2]!.answer(yes)
    await it.batches[3]!.answer(yes)
    expect(Object.fromEntries(it.answers)).toEqual({ hangs: [], b: ['yes'], c: ['yes'] })
    it.ask('later', 'b')
    await turns()
    expect(it.batches.at(-1)).toMatchObject({ keys: ['later'], times: { timeoutMs: 500 } })
  })

  test('keeps its origin out of the batches for a while, so that no further one is held up by it', async () => {
    const it = new ByHand()
    it.ask('sleeps', 'attacker')
    await turns()
    await it.batches[0]!.answer(slow)
    for (let n = 0; n < 5; n++) it.ask(`sleeps ${n}`, 'attacker')
    it.ask('good', 'other')
    await turns()
    expect(it.batches.map(({ keys, times }) => [keys.length, times.timeoutMs])).toEqual([
      [1, 500],
      [1, 5_000],
      [1, 500],
    ])
    expect(it.batches[2]!.keys).toEqual(['good'])
    await it.batches[2]!.answer(yes)
    await it.pass(30_000)
    it.ask('later', 'attacker')
    await turns()
    expect(it.batches.at(-1)).toMatchObject({ keys: ['later'], times: { timeoutMs: 500 } })
  })
})

describe('waiting', () => {
  test('ends after its time, in line or asked', async () => {
    const it = new ByHand()
    it.ask('asked')
    await turns()
    it.ask('in line')
    await it.pass(MAX_WAIT_MS - 1)
    expect([...it.answers.values()].flat()).toEqual([])
    await it.pass(500)
    expect(Object.fromEntries(it.answers)).toEqual({ asked: ['no answer'], 'in line': ['no session'] })
    await it.batches[0]!.answer(yes)
    expect(it.answers.get('asked')).toEqual(['no answer'])
    expect(it.batches).toHaveLength(1)
  })

  test('for an answer that is not wanted any more costs the database nothing', async () => {
    const it = new ByHand()
    it.ask('first')
    await turns()
    it.ask('gone', 'socket', () => false)
    it.ask('b')
    await it.batches[0]!.answer(yes)
    expect(it.batches[1]!.keys).toEqual(['b'])
  })

  test('is bounded in number', async () => {
    const it = new ByHand()
    it.ask('first')
    await turns()
    for (let n = 1; n < MAX_WAITING; n++) it.ask('same', 'one socket')
    it.ask('over', 'another')
    await turns()
    expect(it.answers.get('over')).toEqual(['no session'])
    expect(it.answers.get('same')).toEqual([])
  })
})

test('a fair line serves its origins in turns, each in its order', () => {
  const line = new FairLine<string>()
  for (let n = 0; n < 3; n++) line.push('greedy', `g${n}`)
  line.push('modest', 'm0')
  line.putBack('greedy', 'back')
  line.push('late', 'l0')
  expect(Array.from({ length: 7 }, () => line.take())).toEqual(['back', 'm0', 'l0', 'g0', 'g1', 'g2', undefined])
})
