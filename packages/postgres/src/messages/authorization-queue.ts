import type { TimerHandle } from '@tidewire/protocol'
import type { FeedRuntime } from '../feed-runtime.ts'
import type { BatchTimes } from './authorization-sql.ts'
import { FairLine } from './fair-line.ts'

export type Outcome<Answer> =
  | { readonly kind: 'answered'; readonly answer: Answer }
  /** The question took so long that it was cancelled. */
  | { readonly kind: 'slow'; readonly answer: Answer }
  /** Its batch got no answer at all: one of it would not be cancelled. */
  | { readonly kind: 'suspect' }
  /** The batch ended before it; nothing is wrong with it. */
  | { readonly kind: 'not-asked' }

export interface Question {
  readonly key: string
}

export interface Asker {
  /** Askers of one origin wait for each other. */
  readonly origin: unknown
  /** `false`: the answer is not needed any more. */
  isWaiting(): boolean
}

export interface AuthorizationQueueOptions<Asked extends Question, Answer> {
  readonly runtime: Pick<FeedRuntime, 'uptime' | 'setTimer'>
  /** Batches at a time; as many single slow questions may run beside them. */
  readonly concurrency: number
  /** Must not reject; answers in the order of the questions. */
  ask(questions: readonly Asked[], times: BatchTimes): Promise<readonly Outcome<Answer>[]>
  /** For an asker that has waited too long. */
  timedOut(wasAsked: boolean): Answer
}

/** The most that an asker waits; clients give a join up after ten seconds by default. */
export const MAX_WAIT_MS = 10_000

const MAX_BATCH = 50

/** No question of a batch is begun after 100 ms, and none that takes 400 ms more is waited for. */
const BATCH: BatchTimes = { budgetMs: 100, timeoutMs: 500, graceMs: 5_500 }

const ALONE: BatchTimes = { budgetMs: 0, timeoutMs: 5_000, graceMs: 5_000 }

/** For this long, an origin with a slow question is asked alone at once. */
const SLOW_MS = 30_000
const MAX_SLOW_ORIGINS = 1_000

export const MAX_WAITING = 100_000

interface Entry<Answer> {
  readonly asker: Asker
  settle(answer: Answer): void
  readonly timer: TimerHandle
  wasAsked: boolean
  isSettled: boolean
}

interface Waiting<Asked, Answer> {
  readonly question: Asked
  readonly entries: Entry<Answer>[]
  readonly origins: Set<unknown>
}

interface WaitingList<Asked, Answer> {
  readonly line: FairLine<Waiting<Asked, Answer>>
  readonly times: BatchTimes
  readonly maxBatch: number
  running: number
}

/**
 * Questions to the policies. Those that wait are asked in batches, equal ones once; an answer is only for those that came before its
 * batch began. A question that is slow leaves the batches and is asked alone, beside them.
 */
export class AuthorizationQueue<Asked extends Question, Answer> {
  readonly #options: AuthorizationQueueOptions<Asked, Answer>
  readonly #batched: WaitingList<Asked, Answer> = { line: new FairLine(), times: BATCH, maxBatch: MAX_BATCH, running: 0 }
  readonly #alone: WaitingList<Asked, Answer> = { line: new FairLine(), times: ALONE, maxBatch: 1, running: 0 }
  /** Questions that no batch has begun to ask. */
  readonly #waiting = new Map<string, Waiting<Asked, Answer>>()
  readonly #slowUntil = new Map<unknown, number>()
  #openEntries = 0
  #isStarting = false

  constructor(options: AuthorizationQueueOptions<Asked, Answer>) {
    this.#options = options
  }

  ask(question: Asked, asker: Asker): Promise<Answer> {
    if (this.#openEntries >= MAX_WAITING) return Promise.resolve(this.#options.timedOut(false))
    this.#openEntries++
    return new Promise((settle) => {
      // Every wait ends, whether or not a session is free, and whether or not the database answers.
      const timer = this.#options.runtime.setTimer(() => this.#settle([entry], this.#options.timedOut(entry.wasAsked)), MAX_WAIT_MS)
      const entry: Entry<Answer> = { asker, settle, timer, wasAsked: false, isSettled: false }
      this.#add(question, entry)
      this.#start()
    })
  }

  #add(question: Asked, entry: Entry<Answer>): void {
    const { origin } = entry.asker
    const waiting = this.#waiting.get(question.key) ?? this.#newWaiting(question)
    waiting.entries.push(entry)
    if (waiting.origins.has(origin)) return
    waiting.origins.add(origin)
    const list = this.#isSlow(origin) ? this.#alone : this.#batched
    list.line.push(origin, waiting)
  }

  #newWaiting(question: Asked): Waiting<Asked, Answer> {
    const waiting: Waiting<Asked, Answer> = { question, entries: [], origins: new Set() }
    this.#waiting.set(question.key, waiting)
    return waiting
  }

  /** After this turn's microtasks, so that questions that come together are asked together. */
  #start(): void {
    if (this.#isStarting) return
    this.#isStarting = true
    queueMicrotask(() => {
      this.#isStarting = false
      for (const list of [this.#batched, this.#alone]) while (list.running < this.#options.concurrency && this.#runNext(list));
    })
  }

  #runNext(list: WaitingList<Asked, Answer>): boolean {
    const batch = this.#take(list)
    if (batch.length === 0) return false
    list.running++
    void this.#run(batch, list).finally(() => {
      list.running--
      this.#start()
    })
    return true
  }

  #take({ line, maxBatch }: WaitingList<Asked, Answer>): Waiting<Asked, Answer>[] {
    const batch: Waiting<Asked, Answer>[] = []
    while (batch.length < maxBatch) {
      const waiting = line.take()
      if (waiting === undefined) break
      // It stands in the line once for each of its origins.
      if (this.#isAsked(waiting)) continue
      this.#waiting.delete(waiting.question.key)
      if (waiting.entries.some((each) => !each.isSettled && each.asker.isWaiting())) batch.push(waiting)
      else this.#settle(waiting.entries, this.#options.timedOut(false))
      for (const entry of waiting.entries) entry.wasAsked = true
    }
    return batch
  }

  #isAsked(waiting: Waiting<Asked, Answer>): boolean {
    return this.#waiting.get(waiting.question.key) !== waiting
  }

  async #run(batch: readonly Waiting<Asked, Answer>[], list: WaitingList<Asked, Answer>): Promise<void> {
    const outcomes = await this.#options.ask(
      batch.map(({ question }) => question),
      list.times,
    )
    const isAlone = list === this.#alone
    for (const [at, waiting] of batch.entries()) {
      const outcome = outcomes[at]!
      if (outcome.kind === 'slow') for (const origin of waiting.origins) this.#markSlow(origin)
      if (outcome.kind === 'answered' || (outcome.kind === 'slow' && isAlone)) this.#settle(waiting.entries, outcome.answer)
      else this.#askAgain(waiting, outcome.kind !== 'not-asked' || isAlone ? this.#alone : this.#batched)
    }
  }

  /** An equal question that waits by now is asked after all of them, so they share its answer. */
  #askAgain(asked: Waiting<Asked, Answer>, { line }: WaitingList<Asked, Answer>): void {
    const open = asked.entries.filter(({ isSettled }) => !isSettled)
    if (open.length === 0) return
    const waiting = this.#waiting.get(asked.question.key) ?? this.#newWaiting(asked.question)
    waiting.entries.unshift(...open)
    for (const { asker } of open) waiting.origins.add(asker.origin)
    line.putBack(open[0]!.asker.origin, waiting)
  }

  #settle(entries: readonly Entry<Answer>[], answer: Answer): void {
    for (const entry of entries) {
      if (entry.isSettled) continue
      entry.isSettled = true
      entry.timer.cancel()
      this.#openEntries--
      entry.settle(answer)
    }
  }

  #isSlow(origin: unknown): boolean {
    const until = this.#slowUntil.get(origin)
    if (until === undefined) return false
    if (this.#options.runtime.uptime() < until) return true
    this.#slowUntil.delete(origin)
    return false
  }

  #markSlow(origin: unknown): void {
    this.#slowUntil.delete(origin)
    this.#slowUntil.set(origin, this.#options.runtime.uptime() + SLOW_MS)
    if (this.#slowUntil.size > MAX_SLOW_ORIGINS) this.#slowUntil.delete(this.#slowUntil.keys().next().value)
  }
}
