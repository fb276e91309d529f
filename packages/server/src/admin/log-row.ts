import type { AdminLogRow } from '@tidewire/protocol'
import type { DecidedChange, Decision, SentMessage } from '../ports.ts'

/** An event that the log shows. Its bytes are read before the next event. */
export type LogEvent =
  | { readonly kind: 'message'; readonly topic: string; readonly receivers: number; readonly bytes: number; readonly message: SentMessage }
  | { readonly kind: 'change'; readonly change: DecidedChange }
  | { readonly kind: 'join' | 'leave'; readonly connection: string; readonly topic: string; readonly private: boolean }
  | { readonly kind: 'connect'; readonly connection: string }
  | { readonly kind: 'disconnect'; readonly connection: string; readonly code: number }
  | { readonly kind: 'decision'; readonly decision: Decision }

/** The most bytes of a payload that are shown. A longer one is cut, and shown with its length. */
export const MAX_PAYLOAD_BYTES = 2_048
const MAX_TEXT = 300

/** A row without its number and time; with the payload only where it is wanted. */
export type RowContent = Omit<AdminLogRow, 'id' | 'at'>

export function rowContent(logEvent: LogEvent, withPayload: boolean): RowContent {
  switch (logEvent.kind) {
    case 'message':
      return messageRow(logEvent, withPayload)
    case 'change': {
      const { schema, table, action, receivers, payload } = logEvent.change
      const what = { kind: 'change', event: action, detail: cut(`${schema}.${table}`), receivers } as const
      if (payload === null) return what
      return { ...what, bytes: payload.length, ...(withPayload ? shown(payload) : {}) }
    }
    case 'join':
    case 'leave':
      return { kind: logEvent.kind, topic: bare(logEvent.topic), private: logEvent.private, connection: logEvent.connection }
    case 'connect':
      return { kind: 'connect', connection: logEvent.connection }
    case 'disconnect':
      return { kind: 'disconnect', connection: logEvent.connection, detail: `closed with ${logEvent.code}` }
    case 'decision': {
      const { code, detail, connection, topic, private: isPrivate } = logEvent.decision
      return {
        kind: 'decision',
        event: code,
        detail: cut(detail),
        ...(topic === undefined ? {} : { topic: bare(topic) }),
        ...(isPrivate === undefined ? {} : { private: isPrivate }),
        ...(connection === undefined ? {} : { connection }),
      }
    }
  }
}

/** Whether a row holds the text, in whatever case. `text` is in lower case. */
export function rowMatches({ topic, event, detail, connection }: RowContent, text: string): boolean {
  return [topic, event, detail, connection].some((field) => field?.toLowerCase().includes(text))
}

function messageRow({ topic, receivers, bytes, message }: Extract<LogEvent, { kind: 'message' }>, withPayload: boolean): RowContent {
  const event = eventOf(message)
  return {
    kind: message.kind === 'broadcast' ? 'broadcast' : 'presence',
    topic: bare(topic),
    private: message.private,
    receivers,
    bytes,
    ...(event === null ? {} : { event: cut(event) }),
    ...(message.connection === null ? {} : { connection: message.connection }),
    ...(withPayload ? shown(message.payload, message.encoding) : {}),
  }
}

function eventOf({ kind, event, encoding, payload }: SentMessage): string | null {
  if (kind !== 'broadcast') return kind
  if (event !== null || encoding === 'binary') return event
  return eventWithin(payload)
}

/** Longer broadcasts are not parsed for their event; only their beginning is searched. */
const MAX_PARSED_BYTES = 4_096
const EVENT_AT_BEGINNING = /^\s*\{\s*(?:"type"\s*:\s*"broadcast"\s*,\s*)?"event"\s*:\s*("(?:[^"\\]|\\.)*")/

function eventWithin(payload: Uint8Array): string | null {
  const text = Buffer.from(payload.buffer, payload.byteOffset, Math.min(payload.length, MAX_PARSED_BYTES)).toString()
  const json = payload.length > MAX_PARSED_BYTES ? EVENT_AT_BEGINNING.exec(text)?.[1] : text
  if (json === undefined) return null
  try {
    const parsed = JSON.parse(json) as unknown
    const event = typeof parsed === 'string' ? parsed : (parsed as { readonly event?: unknown } | null)?.event
    return typeof event === 'string' ? event : null
  } catch {
    return null
  }
}

/** The beginning of a payload as text, with its length where it was cut. No character is cut in two. */
function shown(payload: Uint8Array, encoding: SentMessage['encoding'] = 'json'): Pick<AdminLogRow, 'payload' | 'truncated'> {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, Math.min(payload.length, MAX_PAYLOAD_BYTES))
  const isWhole = payload.length <= MAX_PAYLOAD_BYTES
  if (encoding === 'binary') {
    const hex = JSON.stringify(bytes.subarray(0, MAX_PAYLOAD_BYTES / 8).toString('hex'))
    return payload.length <= MAX_PAYLOAD_BYTES / 8 ? { payload: hex } : { payload: hex, truncated: payload.length }
  }
  if (isWhole) return { payload: bytes.toString() }
  let end = bytes.length
  while (end > 0 && (payload[end]! & 0xc0) === 0x80) end--
  return { payload: bytes.subarray(0, end).toString(), truncated: payload.length }
}

function bare(topic: string): string {
  return cut(topic.replace(/^realtime:/, ''))
}

function cut(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text
}
