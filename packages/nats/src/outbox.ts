import type { NodeChannel, RelayFaultCode, RelayMessage } from '@tidewire/server'
import { BATCH_HEAD_BYTES, encodeBatch, encodedSize, encodeNodeMessage, encodeParts } from './envelope.ts'
import type { Link } from './link.ts'
import type { Numbers, SentTopic } from './numbers.ts'

/** Larger messages are neither sent nor received. */
export const MAX_MESSAGE_BYTES: number = 64 * 1024 * 1024

/** Sends envelopes to the broker, none larger than it takes: messages in batches, a large one in parts. */
export class Outbox {
  readonly #from: string
  readonly #link: Pick<Link, 'session' | 'state' | 'publish'>
  readonly #numbers: Numbers
  readonly #fault: (code: RelayFaultCode, detail: string) => void
  readonly #sent = { messages: 0, bytes: 0 }
  #partId = 0

  /** `from`: the instance of this node. */
  constructor(
    from: string,
    link: Pick<Link, 'session' | 'state' | 'publish'>,
    numbers: Numbers,
    fault: (code: RelayFaultCode, detail: string) => void,
  ) {
    this.#from = from
    this.#link = link
    this.#numbers = numbers
    this.#fault = fault
  }

  get sent(): { readonly messages: number; readonly bytes: number } {
    return this.#sent
  }

  /** Returns whether all messages were handed to the broker. */
  publish(topic: SentTopic, messages: readonly RelayMessage[]): boolean {
    const limit = this.#link.session?.maxPayloadBytes
    if (topic.subject === null || limit === undefined) {
      topic.number = this.#numbers.next()
      return this.#unsent('unsent')
    }
    const whole = this.#encode(topic, messages)
    if (messages.length === 1 || whole.length <= limit) return this.#putBatch(topic, topic.subject, whole, messages.length, limit)
    let sent = true
    for (const batch of batches(messages, limit))
      sent = this.#putBatch(topic, topic.subject, this.#encode(topic, batch), batch.length, limit) && sent
    return sent
  }

  /** A message of this node, to the subject of one node or of all. Returns whether it was handed to the broker. */
  send(subject: string, channel: NodeChannel, bytes: Uint8Array): boolean {
    const limit = this.#link.session?.maxPayloadBytes
    return limit !== undefined && this.#put(subject, encodeNodeMessage(this.#from, channel, bytes), limit)
  }

  /** Returns whether it was handed to the broker. */
  beat(subject: string, envelope: Buffer): boolean {
    const limit = this.#link.session?.maxPayloadBytes
    return limit !== undefined && this.#put(subject, envelope, limit)
  }

  /** As the next batch: the numbers are taken with `#putBatch`. */
  #encode({ number }: SentTopic, messages: readonly RelayMessage[]): Buffer {
    return encodeBatch(this.#from, { number: this.#numbers.last + 1, previous: number }, messages)
  }

  #putBatch(topic: SentTopic, subject: string, envelope: Buffer, messages: number, limit: number): boolean {
    topic.number = this.#numbers.next()
    const sent = this.#put(subject, envelope, limit)
    if (sent) this.#sent.messages += messages
    return sent
  }

  #put(subject: string, envelope: Buffer, limit: number): boolean {
    if (envelope.length <= limit) return this.#handOver(subject, envelope)
    if (envelope.length > MAX_MESSAGE_BYTES) return this.#unsent('overflow', `one is larger than ${MAX_MESSAGE_BYTES} bytes`)
    const id = (this.#partId = (this.#partId + 1) >>> 0)
    // Stops at the first part that fails: the others would be of no use.
    return encodeParts(this.#from, id, envelope, limit).every((part) => this.#handOver(subject, part))
  }

  #handOver(subject: string, bytes: Buffer): boolean {
    const outcome = this.#link.publish(subject, bytes)
    if (outcome !== 'sent') return this.#unsent(outcome)
    this.#sent.bytes += bytes.length
    return true
  }

  #unsent(code: 'unsent' | 'overflow', why: string = this.#whyUnsent(code)): false {
    this.#fault(code, `Messages were not sent to other nodes: ${why}`)
    return false
  }

  #whyUnsent(code: 'unsent' | 'overflow'): string {
    const link = this.#link.state
    if (code === 'overflow') return 'the broker confirms too little of what it was sent'
    return link.state === 'down' ? link.detail : 'not connected'
  }
}

/** Groups messages into batches of at most `limit` bytes. A larger message is a batch of its own, and is sent in parts. */
function* batches(messages: readonly RelayMessage[], limit: number): Generator<readonly RelayMessage[]> {
  let batch: RelayMessage[] = []
  let bytes = BATCH_HEAD_BYTES
  for (const message of messages) {
    const size = encodedSize(message)
    if (batch.length > 0 && bytes + size > limit) {
      yield batch
      batch = []
      bytes = BATCH_HEAD_BYTES
    }
    batch.push(message)
    bytes += size
  }
  if (batch.length > 0) yield batch
}
