import {
  encodeBinaryBroadcast,
  encodeUserBroadcast,
  envelopeAround,
  fitsBinaryBroadcast,
  fitsUserBroadcast,
  type UserBroadcast,
  type Version,
} from '@tidewire/protocol'
import type { TopicMessage } from '../ports/topic.ts'
import { webSocketFrame } from './websocket-frame.ts'

/** Encodes the messages of one topic. Text envelopes are built once for each version and event. */
export class Envelopes {
  readonly #topic: string
  readonly #built = new Map<string, { readonly head: Buffer; readonly tail: Buffer }>()

  constructor(topic: string) {
    this.#topic = topic
  }

  /** A text frame whose payload is JSON text that is known to be valid. */
  text(version: Version, event: string, payload: Uint8Array): Buffer {
    const { head, tail } = this.#around(version, event)
    return webSocketFrame(1, head, payload, tail)
  }

  #around(version: Version, event: string): { readonly head: Buffer; readonly tail: Buffer } {
    const key = version + event
    let envelope = this.#built.get(key)
    if (envelope === undefined) {
      const { head, tail } = envelopeAround(version, this.#topic, event)
      envelope = { head: Buffer.from(head), tail: Buffer.from(tail) }
      this.#built.set(key, envelope)
    }
    return envelope
  }

  /** The whole WebSocket frame of a message in one version, or `null` when that version cannot carry it. */
  encode(version: Version, message: TopicMessage): Buffer | null {
    switch (message.kind) {
      case 'text':
        return this.text(version, message.event, message.payload)
      case 'user': {
        const { broadcast } = message
        if (version === '2.0.0' && message.asText !== true && fitsUserBroadcast(this.#topic, broadcast))
          return webSocketFrame(2, encodeUserBroadcast(this.#topic, { ...broadcast, bytes: NOTHING }), broadcast.bytes)
        return broadcast.encoding === 'binary' ? null : this.#userBroadcastText(version, broadcast)
      }
      case 'opaque':
        return version === '2.0.0' && fitsBinaryBroadcast(this.#topic, message.event)
          ? webSocketFrame(2, encodeBinaryBroadcast(this.#topic, message.event, message.bytes))
          : null
    }
  }

  #userBroadcastText(version: Version, { event, metadata, bytes }: UserBroadcast): Buffer {
    const { head, tail } = this.#around(version, 'broadcast')
    const meta = metadata === null ? '' : `"meta":${JSON.stringify(metadata)},`
    return webSocketFrame(1, head, Buffer.from(`{"event":${JSON.stringify(event)},${meta}"payload":`), bytes, TYPE_BROADCAST, tail)
  }
}

/** A frame of kind 4 ends with its payload. Encoded without one, it is the head to which the payload is appended. */
const NOTHING = new Uint8Array(0)

const TYPE_BROADCAST = Buffer.from(',"type":"broadcast"}')
