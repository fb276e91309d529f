import cluster from 'node:cluster'
import { rmSync } from 'node:fs'
import { dirname } from 'node:path'
import type { MetricsText } from '@tidewire/server'
import { PLACE_VARIABLE, type FromPrimary, type FromWorker, type WorkerPlace } from './messages.ts'

const ALIVE_MS = 1_000
/** A scraper waits ten seconds by default. */
const METRICS_WITHIN_MS = 5_000

/** This process as one of the workers of its primary. */
export class WorkerSide {
  readonly place: WorkerPlace
  /** Resolves when the primary stops. Signals count as well: a service manager may send them to all processes. */
  readonly stopRequested: Promise<string>
  #trouble: string | null = null
  #metrics: MetricsText | null = null
  #questions = 0
  readonly #asked = new Map<number, (text: string | null) => void>()
  #requestStop: (signal: string) => void = () => {}

  constructor(place: WorkerPlace) {
    this.place = place
    this.stopRequested = new Promise((resolve) => (this.#requestStop = resolve))
    process.on('message', (message: FromPrimary) => this.#take(message))
    // A worker ends with its primary. One that was killed has not cleared up.
    process.once('exit', () => {
      if (!process.connected && process.platform !== 'win32') rmSync(dirname(place.socketPath), { recursive: true, force: true })
    })
  }

  /** Wrong with any of the workers. */
  readonly trouble = (): string | null => this.#trouble

  /** To be called when it listens. */
  ready(url: string, connections: () => number): void {
    send({ type: 'ready', url })
    setInterval(() => send({ type: 'alive', connections: connections() }), ALIVE_MS).unref()
  }

  /** The metrics of all workers, whichever is asked; its own where the primary does not answer. */
  metricsOfAll(own: MetricsText): MetricsText {
    this.#metrics = own
    return {
      contentType: own.contentType,
      text: async () => (await this.#ask()) ?? own.text(),
    }
  }

  /** The channel to the primary keeps the process from its end no longer. */
  release(): void {
    process.channel?.unref()
  }

  #ask(): Promise<string | null> {
    const id = ++this.#questions
    return new Promise((resolve) => {
      const answered = (text: string | null): void => {
        clearTimeout(late)
        this.#asked.delete(id)
        resolve(text)
      }
      const late = setTimeout(() => answered(null), METRICS_WITHIN_MS)
      this.#asked.set(id, answered)
      send({ type: 'ask-metrics', id })
    })
  }

  #take(message: FromPrimary): void {
    switch (message.type) {
      case 'stop':
        return this.#requestStop(message.signal)
      case 'trouble':
        this.#trouble = message.sentence
        return
      case 'all-metrics':
        return this.#asked.get(message.id)?.(message.text)
      case 'metrics': {
        const { id } = message
        void (this.#metrics?.text() ?? Promise.resolve('')).then((text) => send({ type: 'metrics', id, text }))
      }
    }
  }
}

/** `null`: this process is no worker. */
export function workerSide(environment: NodeJS.ProcessEnv): WorkerSide | null {
  const place = environment[PLACE_VARIABLE]
  if (!cluster.isWorker || place === undefined) return null
  // What this process starts is no worker.
  delete environment[PLACE_VARIABLE]
  return new WorkerSide(JSON.parse(place) as WorkerPlace)
}

/** Without a primary this process ends: Node's cluster sees to that. */
function send(message: FromWorker): void {
  if (process.connected) process.send!(message, undefined, undefined, () => {})
}
