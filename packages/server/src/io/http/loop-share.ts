import type { Steps } from '@tidewire/protocol'
import type { Runtime } from '../../ports.ts'

/** The most work in one turn of the event loop. */
const SHARE_MS = 10

/** The share of the event loop that one request may take at a time, so that a large one holds up no others. */
export class LoopShare {
  readonly #runtime: Pick<Runtime, 'uptime' | 'endOfTurn'>
  #until: number

  constructor(runtime: Pick<Runtime, 'uptime' | 'endOfTurn'>) {
    this.#runtime = runtime
    this.#until = runtime.uptime() + SHARE_MS
  }

  get isUsedUp(): boolean {
    return this.#runtime.uptime() >= this.#until
  }

  /** Takes all steps, in later turns where the share is used up. */
  async finish<T>(steps: Steps<T>): Promise<T> {
    for (;;) {
      const step = steps.next()
      if (step.done) return step.value
      if (this.isUsedUp) await this.nextTurn()
    }
  }

  /** Goes on in a later turn. */
  async nextTurn(): Promise<void> {
    await new Promise<void>((resolve) => this.#runtime.endOfTurn(resolve))
    this.#until = this.#runtime.uptime() + SHARE_MS
  }
}
