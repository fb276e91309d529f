import { defaultFrameBounds, type FrameBounds, type JoinBounds } from '@tidewire/protocol'

/** The limits on clients. `Infinity` lifts one; sizes and windows are always bounded. */
export interface Limits {
  /** Connections with at least one channel. Default 200. */
  readonly maxConnectedUsers: number
  /** Channels of one connection. Default 100. */
  readonly maxChannelsPerConnection: number
  /** Joins a second, averaged. Default 100. */
  readonly maxJoinsPerSecond: number
  /** Broadcasts a second, averaged; over HTTP also requests a second and messages in one batch. Default 100. */
  readonly maxEventsPerSecond: number
  /** Presence messages a second, averaged. Default 1000. */
  readonly maxPresenceEventsPerSecond: number
  /** `track` and `untrack` calls of one channel within `presenceWindowMs`. Default 5. */
  readonly maxPresenceCallsPerWindow: number
  /** Default 30 000. */
  readonly presenceWindowMs: number
  /** The payload of one broadcast or presence message. Default 3 000 500. */
  readonly maxPayloadBytes: number
  /** One WebSocket message. Default 5 000 000. */
  readonly maxFrameBytes: number
  /** The body of one HTTP request. Default 8 000 000. */
  readonly maxBodyBytes: number
  /** Entries in `postgres_changes` of one join. Default 1000. */
  readonly maxChangesPerJoin: number
  /** Conditions of one filter. Default 100. */
  readonly maxConditionsPerFilter: number
  /** Conditions of all filters of one join. Default 2000. */
  readonly maxConditionsPerJoin: number
  /** Keys and elements of one tracked payload, at every depth. Default 5000. */
  readonly maxPresenceValues: number
  /** Bytes of all payloads that are tracked in one topic, on one node. Default 5 000 000. */
  readonly maxPresenceBytes: number
  /** Bytes of frames that have not ended yet, of all sockets together. Default 64 MiB. */
  readonly maxUnfinishedBytes: number
  /** The most time from the first byte of a message to its last. Default 30 000. */
  readonly frameTimeoutMs: number
}

export type ResolvedLimits = { readonly ok: true; readonly limits: Limits } | { readonly ok: false; readonly faults: readonly string[] }

/** The limits where no others are given. */
export const defaultLimits: Limits = {
  maxConnectedUsers: 200,
  maxChannelsPerConnection: 100,
  maxJoinsPerSecond: 100,
  maxEventsPerSecond: 100,
  maxPresenceEventsPerSecond: 1000,
  maxPresenceCallsPerWindow: 5,
  presenceWindowMs: 30_000,
  maxPayloadBytes: 3_000_500,
  maxFrameBytes: 5_000_000,
  maxBodyBytes: 8_000_000,
  maxChangesPerJoin: 1_000,
  maxConditionsPerFilter: 100,
  maxConditionsPerJoin: 2_000,
  maxPresenceValues: 5_000,
  maxPresenceBytes: 5_000_000,
  maxUnfinishedBytes: 64 * 1024 * 1024,
  frameTimeoutMs: 30_000,
}

/** No limit on counts and rates, for a server on one's own machine. Sizes stay, so that memory is bounded. */
export const noLimits: Limits = {
  ...defaultLimits,
  maxConnectedUsers: Infinity,
  maxChannelsPerConnection: Infinity,
  maxJoinsPerSecond: Infinity,
  maxEventsPerSecond: Infinity,
  maxPresenceEventsPerSecond: Infinity,
  maxPresenceCallsPerWindow: Infinity,
}

const BOUNDED: ReadonlySet<string> = new Set([
  'presenceWindowMs',
  'maxPayloadBytes',
  'maxFrameBytes',
  'maxBodyBytes',
  'maxChangesPerJoin',
  'maxConditionsPerFilter',
  'maxConditionsPerJoin',
  'maxPresenceValues',
  'maxPresenceBytes',
  'maxUnfinishedBytes',
  'frameTimeoutMs',
])

/** JSON values of one `postgres_changes` entry: its keys, and the columns that it names. */
const VALUES_PER_CHANGE = 10

/** Bounds on parts of a frame that cost more than their bytes. */
export function frameBounds({ maxChangesPerJoin, maxPresenceValues }: Limits): FrameBounds {
  const maxPayloadValues = Math.max(defaultFrameBounds.maxPayloadValues, maxChangesPerJoin * VALUES_PER_CHANGE)
  return { maxPayloadValues, maxPresenceValues }
}

/** Bounds on the requests of a join. */
export function joinBounds({ maxChangesPerJoin, maxConditionsPerFilter, maxConditionsPerJoin }: Limits): JoinBounds {
  return { maxChanges: maxChangesPerJoin, maxConditionsPerFilter, maxConditions: maxConditionsPerJoin }
}

/** Fills in the defaults; a key that is `undefined` counts as not given. Reports every fault at once, a sentence each. */
export function resolveLimits(given: Partial<Limits> = {}): ResolvedLimits {
  const set = Object.entries(given).filter(([, value]) => value !== undefined)
  const faults = set.map(([name, value]) => limitFault(name, value)).filter((fault) => fault !== null)
  return faults.length > 0 ? { ok: false, faults } : { ok: true, limits: { ...defaultLimits, ...Object.fromEntries(set) } }
}

function limitFault(name: string, value: unknown): string | null {
  if (!Object.hasOwn(defaultLimits, name)) return `limits.${name}: there is no such limit`
  if (Number.isSafeInteger(value) && (value as number) > 0) return null
  if (BOUNDED.has(name)) return `limits.${name}: must be a whole number above 0`
  return value === Infinity ? null : `limits.${name}: must be a whole number above 0, or Infinity`
}
