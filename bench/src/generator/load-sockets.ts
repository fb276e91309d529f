import { randomBytes } from 'node:crypto'
import { FrameTemplate } from './client-frame.ts'
import { dialectOf, messageBody, type Dialect, type DialectName } from './dialect.ts'
import { RawSocket } from './raw-socket.ts'
import { bytesBehindSequence, NO_DELIVERY, rehearse, type DeliveryShape } from './rehearsal.ts'
import type { Address } from '../messages.ts'
import { MESSAGE_BYTES, type Scenario } from '../scenario.ts'

export interface LoadSocketsOptions {
  readonly scenario: Scenario
  readonly address: Address
  readonly dialect: DialectName
  readonly apiKey: string
  /** Addresses to connect from; none for whatever reaches the server. */
  readonly sources: readonly string[]
  /** Called for every delivery with the subscriber's number; subscriber s is on topic `s % topics`. */
  readonly delivered: (subscriber: number, sequence: number) => void
  /** Called for every piece that is read from a subscriber's socket. */
  readonly wasRead?: () => void
  readonly failed: (error: Error) => void
}

/** One topic's publisher with its message. */
export interface Publisher {
  readonly socket: RawSocket
  readonly template: FrameTemplate
}

/** How many sockets are opened at a time. */
const OPENING_AT_ONCE = 100

/** All the sockets of a scenario: subscribers, and publishers that have joined the topics they send to. */
export class LoadSockets {
  /** By topic; empty without publishers. */
  readonly publishers: readonly Publisher[]
  readonly #sockets: readonly RawSocket[]

  private constructor(publishers: readonly Publisher[], sockets: readonly RawSocket[]) {
    this.publishers = publishers
    this.#sockets = sockets
  }

  static async open(options: LoadSocketsOptions): Promise<LoadSockets> {
    const { scenario } = options
    const dialect = dialectOf(options.dialect, options.apiKey, options.address.path)
    // A server that runs already may have topics of its own, and those of a run that was broken off.
    const topicName = topicNames(randomBytes(3).toString('hex'))
    const sockets: RawSocket[] = []
    try {
      const delivery = scenario.publishers === 0 ? NO_DELIVERY : await rehearse(options, dialect, topicName(scenario.topics))
      const open = async (index: number, delivered: (sequence: number) => void): Promise<RawSocket> => {
        const socket = await RawSocket.open(socketOptions(options, dialect, delivery, index, delivered))
        sockets.push(socket)
        return socket
      }
      await each(scenario.topics * scenario.subscribersPerTopic, OPENING_AT_ONCE, async (subscriber) => {
        const socket = await open(subscriber, (sequence) => options.delivered(subscriber, sequence))
        await socket.ask(dialect.join(topicName(subscriber % scenario.topics)), dialect.isJoined)
      })
      const publishers: Publisher[] = []
      await each(scenario.publishers, OPENING_AT_ONCE, async (publisher) => {
        const socket = await open(publisher, () => options.failed(new Error('a publisher got its own message')))
        for (let topic = publisher; topic < scenario.topics; topic += scenario.publishers) {
          await socket.ask(dialect.join(topicName(topic)), dialect.isJoined)
          publishers[topic] = { socket, template: templateOf(dialect, topicName(topic)) }
        }
      })
      return new LoadSockets(publishers, sockets)
    } catch (error) {
      for (const socket of sockets) socket.close()
      throw error
    }
  }

  close(): void {
    for (const socket of this.#sockets) socket.close()
  }
}

/** As long for every topic, so that every delivery is as long. */
function topicNames(prefix: string): (topic: number) => string {
  return (topic) => `bench-${prefix}-${String(topic).padStart(4, '0')}`
}

function templateOf(dialect: Dialect, topic: string): FrameTemplate {
  const text = dialect.publish(topic, messageBody(0, MESSAGE_BYTES))
  return new FrameTemplate(text, bytesBehindSequence(text))
}

function socketOptions(
  { address, sources, failed, wasRead = () => {} }: LoadSocketsOptions,
  dialect: Dialect,
  delivery: DeliveryShape,
  index: number,
  delivered: (sequence: number) => void,
): Parameters<typeof RawSocket.open>[0] {
  return {
    address,
    dialect,
    localAddress: sources[index % sources.length] ?? null,
    wasRead,
    ...delivery,
    delivered,
    lost: (why) => failed(new Error(`a connection was lost: ${why}`)),
  }
}

/** Runs a task for 0 to `count - 1`, some of them at once, and stops at the first failure. */
async function each(count: number, atOnce: number, task: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) await task(next++)
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, worker))
}
