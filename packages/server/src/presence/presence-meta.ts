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

/** Whether two JSON values are equal, whatever the order of keys. Their depth must be bounded. */
export function jsonEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) || Array.isArray(b)) {
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((item, at) => jsonEqual(item, b[at]))
  }
  const keys = Object.keys(a)
  if (keys.length !== Object.keys(b).length) return false
  return keys.every((key) => Object.hasOwn(b, key) && jsonEqual((a as JsonObject)[key], (b as JsonObject)[key]))
}
