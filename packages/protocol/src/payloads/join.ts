import { asksToPersist } from './broadcast.ts'
import type { JsonObject } from '../message.ts'
import { isJsonObject } from '../message.ts'
import { changesFault, defaultJoinBounds, type JoinBounds, type JoinFault } from './join-bounds.ts'
import { fitsBytes } from '../utf8.ts'

/** `broadcast.replay` as asked for: usable, absent (also when it is no object), or refused at join (rule R2). */
export type ReplayRequest = { readonly since: number; readonly limit: number } | 'invalid' | null

/** A join as the server understands it: every default filled in. */
export interface JoinRequest {
  readonly private: boolean
  readonly ack: boolean
  readonly self: boolean
  readonly replicationReady: boolean
  readonly replay: ReplayRequest
  /** Asks for broadcasts to be stored (rule B10). */
  readonly persist: boolean
  /** Notifies the channel when broadcasts may have been missed (rule B12). */
  readonly gaps: boolean
  /** `null`: the server makes a key. */
  readonly presenceKey: string | null
  readonly presenceEnabled: boolean
  /** The requested entries as they came (nulls removed), to be echoed; unread, so any JSON value may stand in them. */
  readonly postgresChanges: readonly unknown[]
  readonly postgresChangesOptions: {
    /** The join is answered only once the changes are live, or with an error when that takes longer than `timeoutMs` (rule J7). */
    readonly wait: boolean
    readonly timeoutMs: number
    readonly positions: boolean
    readonly since: string | null
    /** Which subscribers get deletes: all, or those that could see the row (rule D14). */
    readonly deletes: 'all' | 'authorized'
  }
  /** `null`: the token of the connection counts. */
  readonly accessToken: string | null
  /** True without a `config` key: the sub-topic itself names schema, table and filter (rule J6). */
  readonly legacy: boolean
}

/** A join that was read, or why it cannot be read, in the words of the reply (rule J5). */
export type ParsedJoin =
  | { readonly ok: true; readonly value: JoinRequest }
  | { readonly ok: false; readonly code: JoinFault; readonly reason: string }

const MAX_REPLAY = 25
/** The longest presence key: it is in every state and diff (rule L11). */
const MAX_KEY_BYTES = 1_024
const MAX_INSPECTED = 200
const DEFAULT_WAIT_MS = 15_000
const MAX_WAIT_MS = 60_000

/**
 * Reads a join payload as tolerantly as the reference does (rules J2–J6): booleans may be strings, nulls stand for
 * "not given", unknown keys are ignored, keys of the wrong type fall back to their default. What the reference answers
 * with a crash is refused with the same text.
 */
export function parseJoin(payload: unknown, bounds: JoinBounds = defaultJoinBounds): ParsedJoin {
  if (!isJsonObject(payload)) return refuse(`expected params to be a :map, got: \`${inspectTerm(payload)}\``)
  const config = payload['config']
  if (config !== undefined && config !== null && !isJsonObject(config)) return refuse('no function clause matching in Access.get/3')
  const given = config ?? {}
  const broadcast = given['broadcast']
  if (broadcast !== undefined && broadcast !== null && !isJsonObject(broadcast))
    return refuse('no function clause matching in Access.get/3')
  const presence = objectOrEmpty(given['presence'])
  const options = objectOrEmpty(given['postgres_changes_options'])
  const entries = Array.isArray(given['postgres_changes']) ? given['postgres_changes'].filter((entry) => entry !== null) : []
  const presenceKey = parseKey(presence['key'])
  if (presenceKey !== null && !fitsBytes(presenceKey, MAX_KEY_BYTES))
    return { ok: false, code: 'name-too-long', reason: `NameTooLong: a presence key takes at most ${MAX_KEY_BYTES} bytes` }
  const fault = changesFault(entries, bounds)
  if (fault !== null) return { ok: false, ...fault }
  const token = [payload['user_token'], payload['access_token']].find((candidate) => typeof candidate === 'string')
  return {
    ok: true,
    value: {
      private: flag(given['private']),
      ack: flag(broadcast?.['ack']),
      self: flag(broadcast?.['self']),
      replicationReady: flag(broadcast?.['replication_ready']),
      replay: parseReplay(broadcast?.['replay']),
      persist: asksToPersist(broadcast),
      gaps: flag(broadcast?.['gaps']),
      presenceKey,
      presenceEnabled: flag(presence['enabled']),
      postgresChanges: entries,
      postgresChangesOptions: {
        wait: flag(options['wait']),
        timeoutMs: parseTimeout(options['timeout']),
        positions: flag(options['positions']),
        since: typeof options['since'] === 'string' ? options['since'] : null,
        deletes: options['deletes'] === 'authorized' ? 'authorized' : 'all',
      },
      accessToken: token === undefined || token.startsWith('sb_') ? null : token,
      legacy: config === undefined,
    },
  }
}

function parseReplay(replay: unknown): ReplayRequest {
  if (!isJsonObject(replay)) return null
  const { since, limit } = replay
  if (!Number.isSafeInteger(since)) return 'invalid'
  if (limit === undefined || limit === null) return { since: since as number, limit: MAX_REPLAY }
  if (!Number.isSafeInteger(limit)) return 'invalid'
  return { since: since as number, limit: Math.min(MAX_REPLAY, Math.max(1, limit as number)) }
}

/** A time in milliseconds. A value that is no whole number above 0 falls back to the default, one that is too long to the longest. */
function parseTimeout(timeout: unknown): number {
  return Number.isSafeInteger(timeout) && (timeout as number) > 0 ? Math.min(timeout as number, MAX_WAIT_MS) : DEFAULT_WAIT_MS
}

/** A presence key. Any scalar is one (`123` becomes `"123"`); null, the empty string and other values ask the server for one. */
function parseKey(key: unknown): string | null {
  if (typeof key === 'number' || typeof key === 'boolean') return String(key)
  return typeof key === 'string' && key !== '' ? key : null
}

function flag(value: unknown): boolean {
  return value === true || (typeof value === 'string' && value.toLowerCase() === 'true')
}

function objectOrEmpty(value: unknown): JsonObject {
  return isJsonObject(value) ? value : {}
}

function refuse(detail: string): ParsedJoin {
  return { ok: false, code: 'malformed-join', reason: `UnknownErrorOnChannel: ${detail}` }
}

/** An unexpected value as the reference prints it; cut, because it comes from the client and goes into the reply. */
function inspectTerm(value: unknown): string {
  return value === null ? 'nil' : JSON.stringify(value).slice(0, MAX_INSPECTED)
}
