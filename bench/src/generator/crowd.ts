import { FrameTemplate } from './client-frame.ts'
import { dialectOf, messageBody, SEQUENCE_DIGITS, type Dialect, type DialectName } from './dialect.ts'
import { RawSocket } from './raw-socket.ts'
import { MESSAGE_BYTES, type Scenario } from '../scenario.ts'

export interface CrowdOptions {
  readonly scenario: Scenario
  readonly port: number
  readonly dialect: DialectName
  readonly apiKey: string
  /** Addresses to connect from. */
  readonly sources: readonly string[]
  /** Called for every delivery with the subscriber's number; subscriber s is on topic `s % topics`. */
  readonly delivered: (subscriber: number, sequence: number) => void
  /** Called for every piece that is read from a subscriber's socket. */
  readonly wasRead?: () => void
  readonly failed: (error: Error) => void
}

/** One topic's publisher with its message. */
export interface Voice {
  readonly socket: RawSocket
  readonly template: FrameTemplate
}

/** How many sockets are opened at a time. */
const OPENING_AT_ONCE = 100

/** All the sockets of a scenario: subscribers, and publishers that have joined the topics they send to. */
export class Crowd {
  /** By topic; empty when nobody publishes. */
  readonly voices: readonly Voice[]
  readonly #sockets: readonly RawSocket[]

  private constructor(voices: readonly Voice[], sockets: readonly RawSocket[]) {
    this.voices = voices
    this.#sockets = sockets
  }

  static async gather(options: CrowdOptions): Promise<Crowd> {
    const { scenario } = options
    const dialect = dialectOf(options.dialect, options.apiKey)
    const sockets: RawSocket[] = []
    try {
      const open = async (index: number, delivered: (sequence: number) => void): Promise<RawSocket> => {
        const socket = await RawSocket.open(socketOptions(options, dialect, index, delivered))
        sockets.push(socket)
        return socket
      }
      await each(scenario.topics * scenario.subscribersPerTopic, OPENING_AT_ONCE, async (subscriber) => {
        const socket = await open(subscriber, (sequence) => options.delivered(subscriber, sequence))
        await socket.ask(dialect.join(topicName(subscriber % scenario.topics)), dialect.isJoined)
      })
      const voices: Voice[] = []
      await each(scenario.publishers, OPENING_AT_ONCE, async (publisher) => {
        const socket = await open(publisher, () => options.failed(new Error('a publisher got its own message')))
        for (let topic = publisher; topic < scenario.topics; topic += scenario.publishers) {
          await socket.ask(dialect.join(topicName(topic)), dialect.isJoined)
          voices[topic] = { socket, template: templateOf(dialect, topic) }
        }
      })
      return new Crowd(voices, sockets)
    } catch (error) {
      for (const socket of sockets) socket.close()
      throw error
    }
  }

  leave(): void {
    for (const socket of this.#sockets) socket.close()
  }
}

/** As long for every topic, so that every delivery is as long. */
function topicName(topic: number): string {
  return `bench-${String(topic).padStart(4, '0')}`
}

function templateOf(dialect: Dialect, topic: number): FrameTemplate {
  const text = dialect.publish(topicName(topic), messageBody(0, MESSAGE_BYTES))
  return new FrameTemplate(text, bytesBehindSequence(text))
}

function socketOptions(
  { port, sources, failed, wasRead = () => {} }: CrowdOptions,
  dialect: Dialect,
  index: number,
  delivered: (sequence: number) => void,
): Parameters<typeof RawSocket.open>[0] {
  const delivery = dialect.delivery(topicName(0), messageBody(0, MESSAGE_BYTES))
  return {
    port,
    dialect,
    localAddress: sources[index % sources.length]!,
    wasRead,
    deliveryBytes: delivery.length,
    tailBytes: bytesBehindSequence(delivery),
    delivered,
    lost: (why) => failed(new Error(`a connection was lost: ${why}`)),
  }
}

function bytesBehindSequence(text: string): number {
  return text.length - text.lastIndexOf('0'.repeat(SEQUENCE_DIGITS)) - SEQUENCE_DIGITS
}

/** Runs a task for 0 to `count - 1`, some of them at once, and stops at the first failure. */
async function each(count: number, atOnce: number, task: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) await task(next++)
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, worker))
}
