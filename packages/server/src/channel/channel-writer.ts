import {
  encodeTextMessage,
  envelopeAround,
  wireTopic,
  type BroadcastGap,
  type JsonObject,
  type Ref,
  type SystemPayload,
} from '@tidewire/protocol'
import { textFrame, webSocketFrame } from '../topic/websocket-frame.ts'
import { JoinBuffer } from './join-buffer.ts'
import type { ChannelConnection } from './services.ts'
import type { TopicMembership } from './topic-membership.ts'

/** Writes messages for one channel alone, in order with those of its topic. Holds row changes and stored messages until a waiting join has its reply. */
export class ChannelWriter {
  readonly #connection: ChannelConnection
  readonly #membership: TopicMembership
  readonly #joinRef: Ref
  /** Replies that wait for a flush of the topic. */
  #waiting = 0

  /** `null` unless the join waits for stored messages or row changes. */
  #joinBuffer: JoinBuffer | null = null

  constructor(connection: ChannelConnection, membership: TopicMembership, joinRef: Ref) {
    this.#connection = connection
    this.#membership = membership
    this.#joinRef = joinRef
  }

  /** The answer to a push. It follows the pending messages of the topic without flushing them: a busy topic is not written out for every answer. */
  reply(ref: Ref, status: 'ok' | 'error', response: unknown): void {
    const { topic } = this.#membership
    if (topic === null || this.#isUpToDate) return this.#write('phx_reply', { status, response }, ref)
    this.#waiting++
    topic.inOrder(() => {
      this.#waiting--
      this.#write('phx_reply', { status, response }, ref)
    })
  }

  system(status: 'ok' | 'error', extension: SystemPayload['extension'], message: string, extra: JsonObject = {}): void {
    this.push('system', { message, status, extension, channel: this.#membership.key.name, ...extra })
  }

  /** A row change. Returns `false` when too many bytes are held: the join must not wait any longer. */
  change(event: string, payload: Uint8Array): boolean {
    if (this.#joinBuffer === null) {
      this.#membership.deliver(event, payload)
      return true
    }
    this.#joinBuffer.hold({ kind: 'change', event, payload })
    return !this.#joinBuffer.isFull
  }

  /** A `system` message about the row changes, in order with them. */
  aboutChanges(status: 'ok' | 'error', message: string, extra?: JsonObject): void {
    if (this.#joinBuffer === null) this.system(status, 'postgres_changes', message, extra)
    else this.#joinBuffer.hold({ kind: 'system', status, message, extra })
  }

  /** Holds row changes and stored messages until `release`: they must follow the join's reply. */
  hold(): JoinBuffer {
    return (this.#joinBuffer ??= new JoinBuffer())
  }

  /** The join has its reply: sends the held messages, without stored ones that were in its replay. */
  release(): void {
    const buffer = this.#joinBuffer
    if (buffer === null) return
    this.#joinBuffer = null
    for (const held of buffer.takeAll()) {
      if (held.kind === 'stored') {
        if (!this.#membership.isBehind(held.commit)) this.frame(this.#membership.frameFor(held.message))
      } else if (held.kind === 'change') this.change(held.event, held.payload)
      else this.aboutChanges(held.status, held.message, held.extra)
    }
  }

  /** Broadcasts of other nodes may have been missed. */
  gap(gap: BroadcastGap): void {
    this.system('error', 'broadcast', GAP_MESSAGES[gap], { gap })
  }

  push(event: string, payload: unknown, ref: Ref = null): void {
    if (!this.#isUpToDate) this.#membership.topic?.flush()
    this.#write(event, payload, ref)
  }

  /** A push whose payload is JSON text that is known to be valid. */
  pushText(event: string, payload: Uint8Array): void {
    if (!this.#isUpToDate) this.#membership.topic?.flush()
    const { head, tail } = envelopeAround(this.#connection.version, wireTopic(this.#membership.key.name), event, this.#joinRef)
    this.#connection.output.write(webSocketFrame(1, Buffer.from(head), payload, Buffer.from(tail)), 1)
  }

  /** Writes a frame; `null` where the version of this socket has none for the message. */
  frame(frame: Buffer | null): void {
    if (frame !== null) this.#connection.output.write(frame, 1)
  }

  /** Whether all that was sent before is written. */
  get #isUpToDate(): boolean {
    return this.#waiting === 0 && !this.#membership.hasPending
  }

  #write(event: string, payload: unknown, ref: Ref): void {
    const message = { joinRef: this.#joinRef, ref, topic: wireTopic(this.#membership.key.name), event, payload }
    this.#connection.output.write(textFrame(encodeTextMessage(this.#connection.version, message)), 1)
  }
}

const GAP_MESSAGES: Record<BroadcastGap, string> = {
  'relay-lost': 'Broadcasts from other nodes may have been missed',
  'relay-unconfirmed': 'Broadcasts from other nodes may not come yet: the way to them is not confirmed',
}
