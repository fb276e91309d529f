import cluster, { type Worker } from 'node:cluster'
import { createInterface } from 'node:readline'
import { Machine } from '@tidewire/protocol'
import type { Log } from '@tidewire/server'
import { LocalBrokerServer } from './local-broker-server.ts'
import { PLACE_VARIABLE, type FromPrimary, type FromWorker, type WorkerPlace } from './messages.ts'
import { WorkerMetrics } from './worker-metrics.ts'
import { initialWorker, troubleOf, workerTransition, type WorkerEffect, type WorkerEvent, type WorkerState } from './worker-state.ts'

export interface PrimaryOptions {
  readonly count: number
  readonly log: Log
  /** How long a worker may take to stop before it is killed. */
  readonly stopWithinMs: number
}

interface Slot {
  readonly number: number
  readonly machine: Machine<WorkerState, WorkerEvent, WorkerEffect>
  worker: Worker | null
  connections: number
  restarts: number
}

const BEAT_MS = 1_000

/** The process that holds the port: starts the workers, replaces those that end, and speaks for all of them. It serves nothing itself. */
export class Primary {
  readonly #options: PrimaryOptions
  readonly #broker: LocalBrokerServer
  readonly #slots: readonly Slot[]
  readonly #metrics: WorkerMetrics
  #beating: NodeJS.Timeout | null = null
  #trouble: string | null = null
  /** Set until the first worker listens; the others start then, as a fault of the first would be one of all. */
  #firstReady: ((outcome: { readonly url: string } | { readonly code: number }) => void) | null = null
  #ended: () => void = () => {}

  private constructor(options: PrimaryOptions, broker: LocalBrokerServer) {
    this.#options = options
    this.#broker = broker
    this.#slots = Array.from({ length: options.count }, (_, at) => {
      const slot: Slot = {
        number: at + 1,
        machine: new Machine(initialWorker, workerTransition, (effect) => this.#perform(slot, effect)),
        worker: null,
        connections: 0,
        restarts: 0,
      }
      return slot
    })
    this.#metrics = new WorkerMetrics({
      workers: () => this.#slots.map(({ number, machine, restarts }) => ({ number, isUp: machine.state.kind === 'up', restarts })),
      send: (number, message) => this.#send(this.#slots[number - 1]!, message),
    })
  }

  static async start(options: PrimaryOptions): Promise<Primary> {
    cluster.schedulingPolicy = cluster.SCHED_RR
    // Lines of several processes on one pipe could be torn.
    cluster.setupPrimary({ silent: true })
    return new Primary(options, await LocalBrokerServer.start())
  }

  get connections(): number {
    return this.#slots.reduce((sum, { connections }) => sum + connections, 0)
  }

  /** Starts one worker, and the others when it listens. Resolves with the URL, or with the exit code of one that could not. */
  async listen(): Promise<{ readonly url: string } | { readonly code: number }> {
    process.on('exit', this.#killAll)
    const [first, ...others] = this.#slots
    const outcome = await new Promise<{ readonly url: string } | { readonly code: number }>((resolve) => {
      this.#firstReady = resolve
      this.#fork(first!)
    })
    this.#firstReady = null
    if ('code' in outcome) return outcome
    for (const slot of others) this.#fork(slot)
    this.#beating = setInterval(() => this.#beat(), BEAT_MS)
    return outcome
  }

  /** Resolves when all workers have drained and ended, and the socket is gone. */
  async stop(signal: string): Promise<void> {
    // Workers that end from now on were asked to.
    this.#firstReady = null
    if (this.#beating !== null) clearInterval(this.#beating)
    const running = this.#slots.filter(({ worker }) => worker !== null)
    const ended = new Promise<void>((resolve) => (this.#ended = resolve))
    for (const slot of this.#slots) {
      this.#take(slot, 'stop')
      this.#send(slot, { type: 'stop', signal })
    }
    if (running.length > 0) {
      const late = setTimeout(() => {
        this.#options.log.warn('workers that have not ended in time are killed')
        this.#killAll()
      }, this.#options.stopWithinMs)
      await ended
      clearTimeout(late)
    }
    await this.#broker.close()
    process.off('exit', this.#killAll)
  }

  /** Kills all workers without draining. */
  readonly #killAll = (): void => {
    for (const { worker } of this.#slots) worker?.process.kill('SIGKILL')
  }

  #fork(slot: Slot): void {
    const place: WorkerPlace = { number: slot.number, count: this.#options.count, socketPath: this.#broker.path }
    const worker = cluster.fork({ [PLACE_VARIABLE]: JSON.stringify(place) })
    slot.worker = worker
    createInterface({ input: worker.process.stdout! }).on('line', (line) => this.#options.log.pass(line))
    worker.process.stderr!.on('data', (text: Buffer) => process.stderr.write(text))
    worker.on('message', (message: FromWorker) => this.#hear(slot, message))
    worker.on('error', (error) => this.#options.log.warn(`worker ${slot.number} cannot be reached: ${error.message}`))
    worker.once('exit', (code: number | null, signal: string | null) => this.#exited(slot, worker, code, signal))
    this.#send(slot, { type: 'trouble', sentence: this.#trouble })
  }

  #hear(slot: Slot, message: FromWorker): void {
    switch (message.type) {
      case 'ready':
        this.#firstReady?.({ url: message.url })
        return this.#take(slot, 'ready')
      case 'alive':
        slot.connections = message.connections
        return this.#take(slot, 'alive')
      case 'ask-metrics':
        return void this.#metrics.all().then((text) => this.#send(slot, { type: 'all-metrics', id: message.id, text }))
      case 'metrics':
        return this.#metrics.answered(slot.number, message.id, message.text)
    }
  }

  #exited(slot: Slot, worker: Worker, code: number | null, signal: string | null): void {
    const { number, machine } = slot
    slot.worker = null
    slot.connections = 0
    this.#metrics.ended(number)
    if (this.#firstReady !== null) return this.#firstReady({ code: code === null || code === 0 ? 1 : code })
    if (machine.state.kind !== 'stopped') {
      slot.restarts++
      const how = signal === null ? `with code ${code}` : `by ${signal}`
      this.#options.log.warn(`worker ${number} (process ${worker.process.pid}) ended ${how}`)
      this.#take(slot, 'ended')
      const trouble = troubleOf(number, machine.state)
      if (machine.state.kind === 'waiting' && trouble !== null) this.#options.log.warn(trouble)
    }
    if (this.#slots.every((each) => each.worker === null)) this.#ended()
  }

  #beat(): void {
    for (const slot of this.#slots) this.#take(slot, 'beat')
    this.#report()
  }

  #take(slot: Slot, type: WorkerEvent['type']): void {
    slot.machine.send({ type })
    if (type === 'ready') this.#options.log.info(`worker ${slot.number} is up`, { process: slot.worker?.process.pid })
    if (type !== 'alive' && type !== 'beat') this.#report()
  }

  #perform(slot: Slot, effect: WorkerEffect): void {
    const { number, machine, worker } = slot
    switch (effect) {
      case 'start':
        return this.#fork(slot)
      case 'kill':
        this.#options.log.warn(`worker ${number} has not answered for a minute and is killed`)
        return void worker?.process.kill('SIGKILL')
      case 'warn-silent':
        return this.#options.log.warn(troubleOf(number, machine.state) ?? '')
    }
  }

  /** Sends the trouble of any worker to all: a health check may reach any of them. */
  #report(): void {
    const sentences = this.#slots.map(({ number, machine }) => troubleOf(number, machine.state)).filter((sentence) => sentence !== null)
    const trouble = sentences.length === 0 ? null : sentences.join('; ')
    if (trouble === this.#trouble) return
    this.#trouble = trouble
    for (const slot of this.#slots) this.#send(slot, { type: 'trouble', sentence: trouble })
  }

  #send({ worker }: Slot, message: FromPrimary): void {
    // The exit of a worker that ends at this moment is reported apart.
    if (worker?.isConnected() === true) worker.send(message, () => {})
  }
}
