import type { JsonObject, PresenceMeta } from '@tidewire/protocol'

/** How deep a tracked payload may nest. `JSON.stringify` overflows the stack on deep values that `JSON.parse` can read. */
export const maxPayloadDepth = 512

/** Builds the meta of a payload: adds the references of the server, and removes those that the payload brought. */
export function presenceMeta(payload: JsonObject, ref: string, previousRef?: string): PresenceMeta {
  const { phx_ref: _ref, phx_ref_prev: _previousRef, ...rest } = payload
  return previousRef === undefined ? { phx_ref: ref, ...rest } : { phx_ref: ref, phx_ref_prev: previousRef, ...rest }
}

/** Whether a JSON value nests deeper than `limit` objects and arrays. Recurses no deeper than that. */
export function nestsDeeperThan(value: unknown, limit: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return limit === 0 || Object.values(value).some((inner) => nestsDeeperThan(inner, limit - 1))
}
