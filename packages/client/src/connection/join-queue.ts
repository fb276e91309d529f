import type { RealtimeError } from '@tidewire/protocol'
import type { HostedChannel } from '../channel/ports.ts'

type Authorized = (error?: RealtimeError) => void

/** How many joins wait for their reply at one time; the others queue. */
const MAX_JOINING = 32

/** Bounds how many channels join at once. */
export class JoinQueue {
  readonly #joining = new Set<HostedChannel>()
  readonly #queue = new Map<HostedChannel, Authorized>()
  readonly #start: (done: Authorized) => void

  /** `start` begins the join of a channel that has its turn. */
  constructor(start: (done: Authorized) => void) {
    this.#start = start
  }

  enter(channel: HostedChannel, done: Authorized): void {
    if (this.#joining.size < MAX_JOINING) {
      this.#joining.add(channel)
      this.#start(done)
    } else this.#queue.set(channel, done)
  }

  /** The next one begins if `isUp`; without a connection `down` is about to end those in the queue. */
  leave(channel: HostedChannel, isUp: boolean): void {
    this.#joining.delete(channel)
    this.#queue.delete(channel)
    const [next] = this.#queue
    if (next === undefined || !isUp) return
    this.#queue.delete(next[0])
    this.enter(...next)
  }
}
