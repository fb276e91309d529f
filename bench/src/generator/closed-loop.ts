import type { Publisher } from './load-sockets.ts'
import { OrderCheck, type Faults } from '../../../packages/cli/src/load/order-check.ts'

export interface LoadShape {
  readonly topics: number
  readonly subscribersPerTopic: number
  readonly inFlight: number
}

/** Sends as fast as deliveries come in: a message of a topic is done when its last subscriber has it. */
export class ClosedLoop {
  readonly #shape: LoadShape
  readonly #order: OrderCheck
  /** How many subscribers still wait for a message, by topic and by the lower bits of its number. */
  readonly #awaited: Int32Array
  readonly #slots: number
  readonly #sent: Int32Array
  /** Frames to go out at the end of this turn, by topic. */
  #due: number[] = []
  #publishers: readonly Publisher[] = []
  #running = false
  #onTheWay = 0
  #deliveries = 0
  #ended: () => void = () => {}

  constructor(shape: LoadShape) {
    this.#shape = shape
    this.#slots = 2 ** Math.ceil(Math.log2(shape.inFlight + 1))
    this.#order = new OrderCheck(shape.topics * shape.subscribersPerTopic)
    this.#awaited = new Int32Array(shape.topics * this.#slots)
    this.#sent = new Int32Array(shape.topics)
  }

  get deliveries(): number {
    return this.#deliveries
  }

  get faults(): Readonly<Faults> {
    return this.#order.faults
  }

  start(publishers: readonly Publisher[]): void {
    this.#publishers = publishers
    this.#running = true
    for (let topic = 0; topic < this.#shape.topics; topic++) for (let i = 0; i < this.#shape.inFlight; i++) this.#send(topic)
  }

  delivered(subscriber: number, sequence: number): void {
    this.#deliveries++
    if (!this.#order.saw(subscriber, sequence)) return
    const topic = subscriber % this.#shape.topics
    const slot = topic * this.#slots + (sequence & (this.#slots - 1))
    if (--this.#awaited[slot]! > 0) return
    this.#onTheWay--
    if (this.#running) this.#send(topic)
    else if (this.#onTheWay === 0) this.#ended()
  }

  /** Sends nothing more and waits for what is on its way; what has not come in time is lost. */
  async stop(timeoutMs: number): Promise<void> {
    this.#running = false
    if (this.#onTheWay > 0)
      await new Promise<void>((resolve) => {
        this.#ended = resolve
        setTimeout(resolve, timeoutMs).unref()
      })
    const { topics, subscribersPerTopic } = this.#shape
    for (let subscriber = 0; subscriber < topics * subscribersPerTopic; subscriber++)
      this.#order.end(subscriber, this.#sent[subscriber % topics]!)
  }

  #send(topic: number): void {
    const sequence = ++this.#sent[topic]!
    this.#awaited[topic * this.#slots + (sequence & (this.#slots - 1))] = this.#shape.subscribersPerTopic
    this.#onTheWay++
    if (this.#due.length === 0) setImmediate(() => this.#flush())
    this.#due.push(topic, sequence)
  }

  /** One write per publisher and turn: the generator must not spend its time on small writes. */
  #flush(): void {
    const due = this.#due
    this.#due = []
    const frames = new Map<Publisher['socket'], Buffer[]>()
    for (let at = 0; at < due.length; at += 2) {
      const { socket, template } = this.#publishers[due[at]!]!
      const frame = template.with(due[at + 1]!)
      const list = frames.get(socket)
      if (list === undefined) frames.set(socket, [frame])
      else list.push(frame)
    }
    for (const [socket, list] of frames) socket.write(list.length === 1 ? list[0]! : Buffer.concat(list))
  }
}
