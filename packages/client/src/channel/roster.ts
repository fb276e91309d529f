import { RealtimeError } from '@tidewire/protocol'
import type { HostedChannel } from './ports.ts'

type Authorized = (error?: RealtimeError) => void

/** How many joins wait for their reply at one time; the others wait for their turn. */
const MOST_JOINING = 32

/** The channels of a client by topic, and whose turn it is to join. */
export class Roster {
  /** The channels of the users. The array is replaced when one comes or goes. */
  owners: readonly object[] = []
  readonly #byTopic = new Map<string, HostedChannel>()
  readonly #joining = new Set<HostedChannel>()
  readonly #queue = new Map<HostedChannel, Authorized>()
  readonly #start: (done: Authorized) => void

  /** `start` is called with whoever has a turn. */
  constructor(start: (done: Authorized) => void) {
    this.#start = start
  }

  find(topic: string): HostedChannel | undefined {
    return this.#byTopic.get(topic)
  }

  /** Those that are there now: what it does may be heard by somebody who takes a channel back and makes another. */
  each(act: (channel: HostedChannel) => void): void {
    for (const channel of [...this.#byTopic.values()]) act(channel)
  }

  /** Throws when another channel has the topic. */
  add(channel: HostedChannel): void {
    const { topic } = channel
    const existing = this.find(topic)
    if (existing === channel) return
    if (existing !== undefined)
      throw new RealtimeError('already-joined', `Another channel has the topic ${topic}; use that one, or remove it first.`)
    this.#byTopic.set(topic, channel)
    this.owners = [...this.owners, channel.owner]
  }

  /** Whether it was there. */
  remove(channel: HostedChannel): boolean {
    const isThere = this.find(channel.topic) === channel
    if (isThere) {
      this.#byTopic.delete(channel.topic)
      this.owners = this.owners.filter((owner) => owner !== channel.owner)
    }
    return isThere
  }

  /** Takes a turn, or waits in the queue for one. */
  takeTurn(channel: HostedChannel, done: Authorized): void {
    if (this.#joining.size < MOST_JOINING) {
      this.#joining.add(channel)
      this.#start(done)
    } else this.#queue.set(channel, done)
  }

  /** Gives its turn back, to the next in the queue if `isUp`: without a connection those are about to be told so. */
  endTurn(channel: HostedChannel, isUp: boolean): void {
    this.#joining.delete(channel)
    this.#queue.delete(channel)
    const [next] = this.#queue
    if (next === undefined || !isUp) return
    this.#queue.delete(next[0])
    this.takeTurn(...next)
  }
}
