import type { FromPrimary } from './messages.ts'
import { countersOf, formatMetrics, mergeMetrics, parseMetrics, type Metrics } from './merge-metrics.ts'

export interface WorkerMetricsOptions {
  readonly workers: () => readonly { readonly number: number; readonly isUp: boolean; readonly restarts: number }[]
  readonly send: (worker: number, message: FromPrimary) => void
}

const ANSWER_WITHIN_MS = 2_000

interface Question {
  readonly answers: Map<number, Metrics>
  readonly waitingFor: Set<number>
  readonly done: () => void
}

/** Asks all workers for their metrics, and merges them. `tidewire_worker_up` says which workers did not answer. */
export class WorkerMetrics {
  readonly #options: WorkerMetricsOptions
  readonly #questions = new Map<number, Question>()
  /** The last answer of each worker. */
  readonly #last = new Map<number, Metrics>()
  /** Counters of workers that ended. */
  #ended: Metrics = new Map()
  #count = 0
  #asking: Promise<string> | null = null

  constructor(options: WorkerMetricsOptions) {
    this.#options = options
  }

  /** The merged metrics. Simultaneous scrapes share one question. */
  all(): Promise<string> {
    this.#asking ??= this.#ask().finally(() => (this.#asking = null))
    return this.#asking
  }

  answered(worker: number, id: number, text: string): void {
    const metrics = parseMetrics(text)
    this.#last.set(worker, metrics)
    const question = this.#questions.get(id)
    if (question?.waitingFor.delete(worker) !== true) return
    question.answers.set(worker, metrics)
    if (question.waitingFor.size === 0) question.done()
  }

  /** To be called when the process of a worker ended: another may take its number. */
  ended(worker: number): void {
    const last = this.#last.get(worker)
    this.#last.delete(worker)
    if (last !== undefined) {
      const known = [this.#ended, countersOf(last)].map((metrics) => ({ worker: null, metrics }))
      this.#ended = mergeMetrics(known)
    }
    for (const question of this.#questions.values())
      if (question.waitingFor.delete(worker) && question.waitingFor.size === 0) question.done()
  }

  async #ask(): Promise<string> {
    const id = ++this.#count
    const workers = this.#options.workers()
    const waitingFor = new Set(workers.filter(({ isUp }) => isUp).map(({ number }) => number))
    const answers = new Map<number, Metrics>()
    await new Promise<void>((resolve) => {
      const late = setTimeout(resolve, ANSWER_WITHIN_MS)
      const done = (): void => {
        clearTimeout(late)
        resolve()
      }
      this.#questions.set(id, { answers, waitingFor, done })
      if (waitingFor.size === 0) done()
      for (const worker of waitingFor) this.#options.send(worker, { type: 'metrics', id })
    })
    this.#questions.delete(id)
    const all = [...answers].map(([worker, metrics]) => ({ worker: String(worker), metrics }))
    // A worker that does not answer counts with its last answer: a sum that falls would look like a restart.
    for (const { number } of workers) {
      const last = this.#last.get(number)
      if (!answers.has(number) && last !== undefined) all.push({ worker: String(number), metrics: countersOf(last) })
    }
    const merged = mergeMetrics([{ worker: null, metrics: this.#ended }, ...all])
    return formatMetrics(merged) + this.#ofWorkers(workers, answers)
  }

  #ofWorkers(workers: ReturnType<WorkerMetricsOptions['workers']>, answers: ReadonlyMap<number, Metrics>): string {
    const line = (name: string, read: (worker: (typeof workers)[number]) => number): string =>
      workers.map((worker) => `${name}{worker="${worker.number}"} ${read(worker)}\n`).join('')
    return [
      '# HELP tidewire_worker_up Whether a worker answers.\n# TYPE tidewire_worker_up gauge\n',
      line('tidewire_worker_up', ({ number }) => (answers.has(number) ? 1 : 0)),
      '\n# HELP tidewire_worker_restarts_total Workers that ended and were replaced.\n# TYPE tidewire_worker_restarts_total counter\n',
      line('tidewire_worker_restarts_total', ({ restarts }) => restarts),
    ].join('')
  }
}
