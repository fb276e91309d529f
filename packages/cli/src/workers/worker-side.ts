import cluster from 'node:cluster'
import { rmSync } from 'node:fs'
import { dirname } from 'node:path'
import type { MetricsText } from '@tidewire/server'
import { PLACE_VARIABLE, type FromPrimary, type FromWorker, type WorkerPlace } from './messages.ts'

const ALIVE_MS = 1_000
/** Less than the time-out of a scraper, ten seconds by default. */
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
    // A primary that was killed has not removed its socket.
    process.once('exit', () => {
      if (!process.connected && process.platform !== 'win32') rmSync(dirname(place.socketPath), { recursive: true, force: true })
    })
  }

  /** A sentence about a worker that does not serve, or `null`. */
  readonly trouble = (): string | null => this.#trouble

  /** To be called when the server listens. */
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

  /** Lets the process end although the channel to the primary is open. */
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
  // Child processes of this one must not take themselves for workers.
  delete environment[PLACE_VARIABLE]
  return new WorkerSide(JSON.parse(place) as WorkerPlace)
}

/** Does nothing without a primary: Node's cluster then ends this process. */
function send(message: FromWorker): void {
  if (process.connected) process.send!(message, undefined, undefined, () => {})
}
