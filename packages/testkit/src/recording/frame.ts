import { formatJson, JsonNumber, parseJson, type Json } from './json.ts'
import type { Mismatch, Renaming } from './renaming.ts'
import type { RecordedFrame } from './transcript.ts'

/** Null when the frame that came is the recorded one, but for the names that servers make up. */
export function compareFrames(renaming: Renaming, recorded: RecordedFrame, actual: RecordedFrame): Mismatch | null {
  if (typeof recorded !== typeof actual) return { path: [], detail: `expected ${kindOf(recorded)}, got ${kindOf(actual)}` }
  const [was, is] = [frameJson(recorded), frameJson(actual)]
  if (was !== undefined && is !== undefined) return renaming.compare(was, is)
  return sameBytes(recorded, actual) ? null : { path: [], detail: 'other bytes' }
}

/** A frame in one line, for people. */
export function formatFrame(frame: RecordedFrame): string {
  const json = frameJson(frame)
  if (json !== undefined) return formatJson(json)
  return typeof frame === 'string' ? JSON.stringify(frame.slice(0, 400)) : `binary ${Buffer.from(frame).toString('base64')}`
}

/** A frame as a value to compare; `undefined` for text that is not JSON and for binary kinds that are opaque. */
function frameJson(frame: RecordedFrame): Json | undefined {
  return typeof frame === 'string' ? parseJson(frame) : userBroadcastJson(frame)
}

/**
 * Kind 4 taken apart here and not by the protocol's decoder: a fault in the codec must not hide itself.
 * `04 | sizes of topic, event, metadata | encoding | topic | event | metadata | payload`
 */
function userBroadcastJson(frame: Uint8Array): Json | undefined {
  const bytes = Buffer.from(frame)
  const [kind, topicSize, eventSize, metaSize, encoding] = bytes
  if (kind !== 4 || topicSize === undefined || eventSize === undefined || metaSize === undefined || encoding === undefined) return undefined
  const topicEnd = 5 + topicSize
  const eventEnd = topicEnd + eventSize
  const metaEnd = eventEnd + metaSize
  const payload = bytes.subarray(metaEnd)
  const json = encoding === 1 ? parseJson(payload.toString()) : undefined
  return {
    kind: 'user broadcast',
    topic: bytes.toString('utf8', 5, topicEnd),
    event: bytes.toString('utf8', topicEnd, eventEnd),
    metadata: metaSize === 0 ? null : (parseJson(bytes.toString('utf8', eventEnd, metaEnd)) ?? 'not JSON'),
    encoding: new JsonNumber(String(encoding)),
    payload: json ?? { base64: payload.toString('base64') },
  }
}

function sameBytes(a: RecordedFrame, b: RecordedFrame): boolean {
  return Buffer.from(a as string).equals(Buffer.from(b as string))
}

function kindOf(frame: RecordedFrame): string {
  return typeof frame === 'string' ? 'a text frame' : 'a binary frame'
}

/** What a frame is about, for finding its counterpart: enough of an envelope to say "the same message, but different". */
export interface Envelope {
  readonly topic: string
  readonly event: string
  readonly ref: string
}

export function envelopeOf(frame: RecordedFrame): Envelope | null {
  const json = frameJson(frame)
  if (json === undefined) return binaryEnvelope(frame)
  if (Array.isArray(json)) {
    const [, ref, topic, event] = json as readonly Json[]
    return { topic: text(topic), event: text(event), ref: text(ref) }
  }
  if (typeof json !== 'object' || json === null) return null
  const { topic, event, ref, kind } = json as { readonly [key: string]: Json }
  return kind === 'user broadcast' && ref === undefined
    ? { topic: text(topic), event: 'broadcast', ref: 'null' }
    : { topic: text(topic), event: text(event), ref: text(ref) }
}

/** Kind 2, a broadcast that is all opaque: `02 | sizes of topic, event | topic | event | payload`. */
function binaryEnvelope(frame: RecordedFrame): Envelope | null {
  if (typeof frame === 'string' || frame[0] !== 2) return null
  const bytes = Buffer.from(frame)
  const topicEnd = 3 + (frame[1] ?? 0)
  return { topic: bytes.toString('utf8', 3, topicEnd), event: bytes.toString('utf8', topicEnd, topicEnd + (frame[2] ?? 0)), ref: 'null' }
}

function text(value: Json | undefined): string {
  return typeof value === 'string' ? value : value === undefined ? '' : formatJson(value)
}
