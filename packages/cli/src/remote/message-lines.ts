import type { BroadcastMessage, RealtimePostgresChangesPayload, UntypedRow } from '@tidewire/client'
import { visible } from '../output.ts'

type Change = RealtimePostgresChangesPayload<UntypedRow>

/** A broadcast as one JSON object of `tidewire listen --json`. */
export function broadcastObject(topic: string, { event, payload, meta }: BroadcastMessage): object {
  const bytes = bytesOf(payload)
  const body = bytes === null ? { payload } : { payloadBase64: Buffer.from(bytes).toString('base64') }
  return { type: 'broadcast', topic, event, ...body, ...(meta === undefined ? {} : { meta }) }
}

/** A broadcast as a line for people. */
export function broadcastLine({ event, payload }: BroadcastMessage): string {
  const bytes = bytesOf(payload)
  return `${clock()}  ${visible(event)}  ${bytes === null ? jsonText(payload) : `(${bytes.byteLength} bytes)`}`
}

/** A row change as one JSON object. */
export function changeObject({ eventType, schema, table, commit_timestamp, new: row, old, errors }: Change): object {
  return { type: 'change', event: eventType, schema, table, commit_timestamp, new: row, old, ...(errors?.length > 0 ? { errors } : {}) }
}

/** A row change as a line for people: the new row, and the known columns of the old one. */
export function changeLine({ eventType, schema, table, new: row, old, errors }: Change): string {
  const rows = eventType === 'INSERT' ? jsonText(row) : eventType === 'DELETE' ? jsonText(old) : `${jsonText(row)}  was ${jsonText(old)}`
  const faults = errors?.length > 0 ? `  (${visible(errors.join('; '))})` : ''
  return `${clock()}  ${eventType}  ${visible(`${schema}.${table}`)}  ${rows}${faults}`
}

function clock(): string {
  return new Date().toTimeString().slice(0, 8)
}

function jsonText(value: unknown): string {
  return visible(JSON.stringify(value) ?? '', Infinity)
}

function bytesOf(payload: unknown): Uint8Array | null {
  if (payload instanceof ArrayBuffer) return new Uint8Array(payload)
  return payload instanceof Uint8Array ? payload : null
}
