import {
  asksToPersist,
  isJsonObject,
  jsonValue,
  memberBytes,
  payloadBytes,
  PERSIST_UNSUPPORTED,
  traceparentOf,
  utf8Text,
  type ClientFrame,
  type FramePayload,
} from '@tidewire/protocol'
import type { TopicMessage } from '../../ports/topic.ts'
import type { JoinedChannel } from '../joined-channel.ts'
import { refuse, refuseWrite } from '../refusals.ts'

/** A `broadcast` push: checked, published, acknowledged if the channel asked for it. */
export function broadcast(channel: JoinedChannel, frame: ClientFrame): void {
  const { connection, services, request } = channel
  if (!connection.rates.allowEvent()) return channel.stop('too-many-events', 'Too many messages per second')
  if (!channel.mayWrite.broadcast)
    return refuseWrite(
      channel,
      frame.ref,
      `Unauthorized: You do not have permissions to broadcast to this Channel topic: ${channel.subTopic}`,
    )
  // An acknowledgement would promise that the message is stored, which it is not (rule B10).
  if (wantsToPersist(frame.payload)) return refuse(channel, frame.ref, 'persist-unsupported', PERSIST_UNSUPPORTED)
  const message = messageOf(frame.payload)
  if (message === null) return refuse(channel, frame.ref, 'malformed-payload', 'MalformedPayload: a broadcast payload must be an object')
  if (payloadBytes(frame.payload) > services.limits.maxPayloadBytes)
    return refuse(channel, frame.ref, 'payload-too-large', 'PayloadSizeExceeded: the payload is over the limit', 'payload_size_exceeded')
  services.publisher.publish(channel.key, message, {
    kind: 'socket',
    connection: connection.id,
    except: request.self ? null : channel.subscription,
    traceparent: traceOf(frame.payload),
  })
  if (request.ack) channel.writer.reply(frame.ref, 'ok', {})
}

function messageOf(payload: FramePayload): TopicMessage | null {
  switch (payload.kind) {
    case 'json':
      return isJsonObject(payload.value) ? { kind: 'text', event: 'broadcast', payload: payload.bytes } : null
    case 'json-text':
      return payload.bytes[0] === OPEN_OBJECT ? { kind: 'text', event: 'broadcast', payload: payload.bytes } : null
    case 'user-broadcast': {
      // Clients set no metadata (rule N2) but the trace that a message belongs to (rule B9).
      const traceparent = traceOf(payload)
      return { kind: 'user', broadcast: { ...payload.broadcast, metadata: traceparent === null ? null : { traceparent } } }
    }
    case 'binary':
      return { kind: 'opaque', event: 'broadcast', bytes: payload.bytes }
  }
}

function wantsToPersist(payload: FramePayload): boolean {
  switch (payload.kind) {
    case 'user-broadcast':
      return asksToPersist(payload.broadcast.metadata)
    case 'json':
      return asksToPersist(payload.value)
    case 'json-text': {
      if (!mentions(payload.bytes, '"persist"')) return false
      const persist = memberBytes(payload.bytes, 'persist')
      return persist !== undefined && asksToPersist({ persist: jsonValue(utf8Text(persist)) })
    }
    case 'binary':
      return false
  }
}

const OPEN_OBJECT = 0x7b

/** A search for the text is much faster than parsing for the member, which few broadcasts have. */
function mentions({ buffer, byteOffset, byteLength }: Uint8Array, text: string): boolean {
  return Buffer.from(buffer, byteOffset, byteLength).includes(text)
}

/** A `meta` that names a trace is smaller than this; a larger one is not parsed. */
const MAX_META_BYTES = 1_024

function traceOf(payload: FramePayload): string | null {
  switch (payload.kind) {
    case 'user-broadcast':
      return payload.broadcast.metadata === null ? null : traceparentOf(payload.broadcast.metadata)
    case 'json':
      return isJsonObject(payload.value) ? traceparentOf(payload.value['meta']) : null
    case 'json-text': {
      if (!mentions(payload.bytes, '"traceparent"')) return null
      const meta = memberBytes(payload.bytes, 'meta')
      return meta === undefined || meta.length > MAX_META_BYTES ? null : traceparentOf(jsonValue(utf8Text(meta)))
    }
    case 'binary':
      return null
  }
}
