import { RealtimeError } from '@tidewire/protocol'
import { defaultLimits, resolveLimits, type Limits } from './limits/limits.ts'

/** Behaviour of a server; everything has a default. Units are in the names. */
export interface ServerOptions {
  /** Limits on clients. Default: those of Supabase Realtime, see {@link Limits}. */
  readonly limits?: Partial<Limits>
  /** Refuse public channels. Default false. */
  readonly privateOnly?: boolean
  /** A client whose private channel is refused because a policy raised an error gets its name and error. Default false. */
  readonly showsFailedPolicies?: boolean
  /** Claims that every token must have with exactly these values, besides `role` and `exp`. */
  readonly requiredClaims?: Readonly<Record<string, unknown>>
  /** A socket that sent nothing for this long is closed. Default 60 000. */
  readonly idleTimeoutMs?: number
  /** Bytes that may wait for a receiver that takes nothing for a moment. Default 1 MiB. */
  readonly maxBacklogBytes?: number
  /** Bytes that may wait for a receiver that keeps taking. Default 64 MiB. */
  readonly maxMovingBacklogBytes?: number
  /** A receiver that takes nothing of its backlog for this long is closed. Default 10 000. */
  readonly maxStallMs?: number
  /** How long messages may be gathered when the server is busy; 0 turns it off. Default 1. */
  readonly lingerMs?: number
  /** Open sockets, joined or not, before new ones are turned away unanswered. Default 65 536. */
  readonly maxSockets?: number
  /** How long a request or upgrade may take to send its head. Default 10 000. */
  readonly headersTimeoutMs?: number
  /** At shutdown, sockets are closed one after the other, and are all gone after this long. Default 5 000. */
  readonly drainTimeoutMs?: number
  /** At shutdown, how long the server still accepts sockets after its health check said 503. Default 0. */
  readonly drainDelayMs?: number
}

export interface ResolvedServerOptions extends Required<Omit<ServerOptions, 'limits'>> {
  readonly limits: Limits
}

/** How often the server checks for silence, congestion and expired tokens. */
export const SWEEP_INTERVAL_MS = 1_000

const DEFAULTS: Omit<ResolvedServerOptions, 'limits'> = {
  privateOnly: false,
  showsFailedPolicies: false,
  requiredClaims: {},
  idleTimeoutMs: 60_000,
  maxBacklogBytes: 1_048_576,
  maxMovingBacklogBytes: 67_108_864,
  maxStallMs: 10_000,
  lingerMs: 1,
  maxSockets: 65_536,
  headersTimeoutMs: 10_000,
  drainTimeoutMs: 5_000,
  drainDelayMs: 0,
}

/** Fills in the defaults. Throws one RealtimeError `bad-option` that names every fault at once. */
export function resolveOptions(options: ServerOptions): ResolvedServerOptions {
  const faults: string[] = []
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  const limits = resolveLimits(options.limits)
  if (!limits.ok) faults.push(...limits.faults)
  const resolved: ResolvedServerOptions = { ...DEFAULTS, ...given, limits: limits.ok ? limits.limits : defaultLimits }
  for (const key of Object.keys(given)) if (key !== 'limits' && !(key in DEFAULTS)) faults.push(`${key}: there is no such option`)
  for (const [key, value] of Object.entries(resolved)) {
    const standard = (DEFAULTS as unknown as Record<string, unknown>)[key]
    if (typeof standard === 'number' && !(typeof value === 'number' && value >= 0)) faults.push(`${key}: must be a number of at least 0`)
    if (typeof standard === 'boolean' && typeof value !== 'boolean') faults.push(`${key}: must be true or false`)
  }
  if (faults.length > 0) throw new RealtimeError('bad-option', `The server's options have faults. ${faults.join('; ')}`)
  return resolved
}
