import { LoadLoop, type LoopPlan } from './load-loop.ts'

/** A socket of a load: a subscriber, or the publisher of some topics. */
export interface LoadSocket {
  join(topic: number): Promise<void>
  send(topic: number, sequence: number): void
  close(): void
}

/** What a socket tells of itself. */
export interface SocketOwner {
  readonly isPublisher: boolean
  /** A message came. `at` is the time, in milliseconds. */
  readonly delivered: (sequence: number, at: number) => void
  /** The server ended the connection or a channel. Ends the load. */
  readonly lost: (why: Error) => void
}

export interface GeneratorOptions extends LoopPlan {
  readonly publishers: number
  readonly open: (owner: SocketOwner) => Promise<LoadSocket>
}

/** How many sockets are opened at a time. */
const OPENING_AT_ONCE = 50
const TICK_MS = 5

/** Connects subscribers and publishers, lets publishers send what the loop says, and tells the loop what the subscribers get. */
export class LoadGenerator {
  readonly loop: LoadLoop
  readonly #options: GeneratorOptions
  readonly #sockets: LoadSocket[] = []
  /** Topic `t` belongs to publisher `t % publishers`. */
  readonly #publishers: LoadSocket[] = []
  #fault: Error | null = null
  #isClosed = false

  constructor(options: GeneratorOptions) {
    this.#options = options
    this.loop = new LoadLoop(options, (topic, sequence) => this.#publishers[topic % options.publishers]!.send(topic, sequence))
  }

  /** What the server ended first. */
  get fault(): Error | null {
    return this.#fault
  }

  /** Opens and joins all sockets. Rejects when the server refuses one. `opened` is called with how many there are, of how many. */
  async gather(opened: (sockets: number, all: number) => void = () => {}): Promise<void> {
    const { publishers, subscribers } = this.#options
    const all = publishers + subscribers
    let next = 0
    const worker = async (): Promise<void> => {
      while (next < all && this.#fault === null && !this.#isClosed) {
        await this.#open(next++)
        if (!this.#isClosed) opened(this.#sockets.length, all)
      }
    }
    await Promise.all(Array.from({ length: OPENING_AT_ONCE }, worker))
    if (this.#fault !== null) throw this.#fault
  }

  /**
   * Sends until the plan is done or the loop is stopped, and waits for the last deliveries. Rejects when the server ends a connection.
   * `tickMs` is how late a message at a rate, or the end, may be; with 0 it spins, at the cost of a whole core. `ticked` is called each time.
   */
  run({ tickMs = TICK_MS, ticked = () => {} }: { readonly tickMs?: number; readonly ticked?: (at: number) => void } = {}): Promise<void> {
    this.loop.start(performance.now())
    return new Promise((resolve, reject) => {
      const turn = (): void => {
        if (this.#fault !== null) return reject(this.#fault)
        const at = performance.now()
        const isOver = this.loop.tick(at)
        ticked(at)
        if (isOver || this.#isClosed) resolve()
        else if (tickMs === 0) setImmediate(turn)
        else setTimeout(turn, tickMs)
      }
      turn()
    })
  }

  close(): void {
    this.#isClosed = true
    for (const socket of this.#sockets) socket.close()
  }

  async #open(index: number): Promise<void> {
    const { open, publishers, topics } = this.#options
    const isPublisher = index < publishers
    const subscriber = index - publishers
    const socket = await open({
      isPublisher,
      delivered: isPublisher ? () => {} : (sequence, at) => this.loop.delivered(subscriber, sequence, at),
      lost: (why) => void (this.#fault ??= why),
    })
    this.#sockets.push(socket)
    if (this.#isClosed) return socket.close()
    if (!isPublisher) return socket.join(subscriber % topics)
    this.#publishers[index] = socket
    for (let topic = index; topic < topics; topic += publishers) await socket.join(topic)
  }
}
