import { Child, cpuMicrosOf } from '../child.ts'
import type { PublisherMessage } from '../messages.ts'
import { paces, type Pace, type PaceName } from './pace.ts'

/** Of a process that only publishes, by a timer of its own. */
export interface PublishedSample {
  readonly pace: PaceName
  /** CPU microseconds a message. */
  readonly micros: number
}

const STEP_TIMEOUT_MS = 30_000

/** A process with a bare client of NATS that gets no messages. */
export class Publisher {
  readonly #child: Child<PublisherMessage>

  private constructor(child: Child<PublisherMessage>) {
    this.#child = child
  }

  static async start(natsUrl: string): Promise<Publisher> {
    process.env['BENCH_NATS'] = natsUrl
    const child = new Child<PublisherMessage>('./servers/bare-publisher.ts', null)
    await child.next(STEP_TIMEOUT_MS)
    return new Publisher(child)
  }

  async warmUp(forMs: number): Promise<void> {
    for (const pace of [paces.busy, paces.full]) await this.#publish({ ...pace, forMs })
  }

  async measure(pace: PaceName, forMs: number): Promise<PublishedSample> {
    const before = cpuMicrosOf(this.#child.pid) ?? NaN
    const messages = await this.#publish({ ...paces[pace], forMs })
    return { pace, micros: ((cpuMicrosOf(this.#child.pid) ?? NaN) - before) / messages }
  }

  stop(): Promise<void> {
    return this.#child.stop()
  }

  async #publish(pace: Pace): Promise<number> {
    this.#child.send(pace)
    const answer = await this.#child.next(STEP_TIMEOUT_MS)
    if (answer.kind !== 'published') throw new Error(`the publisher said "${answer.kind}"`)
    return answer.messages
  }
}
