/**
 * A reference that ties a reply to a push. Clients send strings; the server echoes whatever scalar it was given (rule M3).
 */
export type Ref = string | number | null

/** One message in either direction, independent of how a serializer writes it. */
export interface Message<Event extends string = string, Payload = unknown> {
  /** The ref of the join this message belongs to; `null` when it belongs to the socket or to the whole topic. */
  readonly joinRef: Ref
  readonly ref: Ref
  readonly topic: string
  readonly event: Event
  readonly payload: Payload
}

/** A JSON object of any shape. */
export type JsonObject = { readonly [key: string]: unknown }

/** True for JSON objects: neither null nor an array. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
