import { isJsonObject, type PresenceMeta } from '@tidewire/protocol'
import { maxPayloadDepth, nestsDeeperThan } from './presence-meta.ts'
import { CounterSet, type CounterRanges } from './counter-set.ts'
import type { LingeringEntry, PresenceContext, PresenceDelta, PresenceEntry, ReplicaContext, ReplicaDelta } from './presence-set.ts'

/** A message between presence replicas, as JSON text in a node message. */
export type PresenceMessage =
  /** `lingering`: see {@link encodeLingering}. Nodes that do not know it read the rest. */
  | { readonly type: 'delta'; readonly delta: PresenceDelta; readonly lingering: readonly LingeringEntry[] }
  | { readonly type: 'digest'; readonly context: PresenceContext }
  | { readonly type: 'ask'; readonly context: PresenceContext }

/** A payload of the greatest depth, inside a meta, an entry, a delta and a message. */
const MAX_DEPTH = maxPayloadDepth + 8

export function encodePresenceMessage(message: Exclude<PresenceMessage, { readonly type: 'delta' }>): Uint8Array {
  return Buffer.from(JSON.stringify(message))
}

/**
 * Splits a delta into messages of about `maxBytes`, which may be merged in any order. The newest entries come first, so that an
 * entry that replaces another is there before that one leaves.
 */
export function* encodeDelta(delta: PresenceDelta, maxBytes: number): Generator<Uint8Array> {
  for (const { replica, seen, entries } of delta) {
    const newestFirst = [...entries].sort((a, b) => b.counter - a.counter)
    let texts: string[] = []
    let bytes = 0
    let upTo = Infinity
    for (const [at, entry] of newestFirst.entries()) {
      const text = JSON.stringify(entry)
      texts.push(text)
      bytes += text.length
      if (bytes < maxBytes || at === newestFirst.length - 1) continue
      yield deltaMessage(replica, within(seen, entry.counter, upTo), texts)
      upTo = entry.counter - 1
      texts = []
      bytes = 0
    }
    yield deltaMessage(replica, within(seen, 1, upTo), texts)
  }
}

/** Messages of about `maxBytes` that hold what lingers on this node, for one that has just started. */
export function* encodeLingering(entries: readonly LingeringEntry[], maxBytes: number): Generator<Uint8Array> {
  let texts: string[] = []
  let bytes = 0
  for (const [at, entry] of entries.entries()) {
    const text = JSON.stringify(entry)
    texts.push(text)
    bytes += text.length
    if (bytes < maxBytes && at < entries.length - 1) continue
    yield Buffer.from(`{"type":"delta","delta":[],"lingering":[${texts.join(',')}]}`)
    texts = []
    bytes = 0
  }
}

/** Reads hostile input. A fault is a sentence; nothing is thrown. */
export function decodePresenceMessage(
  bytes: Uint8Array,
): { readonly ok: true; readonly value: PresenceMessage } | { readonly ok: false; readonly fault: string } {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString())
  } catch {
    return { ok: false, fault: 'it is not JSON' }
  }
  if (!isJsonObject(value)) return { ok: false, fault: 'it is no object' }
  if (nestsDeeperThan(value, MAX_DEPTH)) return { ok: false, fault: 'it nests too deeply' }
  const { type, context, delta, lingering = [] } = value
  if (type === 'delta' && Array.isArray(delta) && delta.every(isReplicaDelta) && Array.isArray(lingering) && lingering.every(isLingering))
    return { ok: true, value: { type, delta, lingering } }
  if ((type === 'digest' || type === 'ask') && Array.isArray(context) && context.every(isReplicaContext))
    return { ok: true, value: { type, context } }
  return { ok: false, fault: 'it has no known form' }
}

function deltaMessage(replica: string, seen: CounterRanges, entries: readonly string[]): Uint8Array {
  return Buffer.from(
    `{"type":"delta","delta":[{"replica":${JSON.stringify(replica)},"seen":${JSON.stringify(seen)},"entries":[${entries.join(',')}]}]}`,
  )
}

function within(ranges: CounterRanges, from: number, to: number): CounterRanges {
  const kept: number[] = []
  for (let at = 0; at < ranges.length; at += 2) {
    const start = Math.max(from, ranges[at]!)
    const end = Math.min(to, ranges[at + 1]!)
    if (start <= end) kept.push(start, end)
  }
  return kept
}

function isReplicaContext(value: unknown): value is ReplicaContext {
  return isJsonObject(value) && typeof value['replica'] === 'string' && isRanges(value['seen'])
}

function isReplicaDelta(value: unknown): value is ReplicaDelta {
  if (!isJsonObject(value) || !isReplicaContext(value)) return false
  const entries: unknown = value['entries']
  return Array.isArray(entries) && entries.every(isEntry) && areSeenOnce(entries, value.seen)
}

/** Whether each entry has a counter of its own in the ranges. Others would come into view twice, and never leave. */
function areSeenOnce(entries: readonly PresenceEntry[], ranges: CounterRanges): boolean {
  const seen = new CounterSet(ranges)
  return new Set(entries.map(({ counter }) => counter)).size === entries.length && entries.every(({ counter }) => seen.has(counter))
}

function isLingering(value: unknown): value is LingeringEntry {
  return isJsonObject(value) && isEntry(value['entry']) && typeof value['forMs'] === 'number' && value['forMs'] >= 0
}

function isEntry(value: unknown): value is PresenceEntry {
  if (!isJsonObject(value)) return false
  const { counter, topic, key, meta } = value
  return isCounter(counter) && typeof topic === 'string' && typeof key === 'string' && isMeta(meta)
}

function isMeta(value: unknown): value is PresenceMeta {
  return isJsonObject(value) && typeof value['phx_ref'] === 'string'
}

/** Sorted, neither overlapping nor touching. */
function isRanges(value: unknown): value is CounterRanges {
  if (!Array.isArray(value) || value.length % 2 !== 0) return false
  let last = -1
  return value.every((counter: unknown, at) => {
    const fits = isCounter(counter) && (at % 2 === 0 ? counter > last + 1 : counter >= last)
    last = Number(counter)
    return fits
  })
}

function isCounter(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0
}
