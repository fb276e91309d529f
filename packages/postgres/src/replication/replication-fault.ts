import { codeOf, isUnreachable, sqlStateOf } from '../catalog/database-fault.ts'

/** Why the feed does not flow. `message` never holds a password. */
export type ReplicationFault =
  /** No connection: network, DNS, TLS, a server that is not there. */
  | { readonly kind: 'unreachable'; readonly message: string }
  /** Postgres is shutting down, starting or recovering, or a standby. */
  | { readonly kind: 'restarting'; readonly message: string }
  /** Another server prepares the slot, or reads one that has to be replaced. */
  | { readonly kind: 'slot-held'; readonly message: string }
  /** The slot is gone, or Postgres threw away WAL that it needed. */
  | { readonly kind: 'slot-lost'; readonly message: string }
  /** No slot or session is free: those of a server that is gone linger, or the database allows too few. */
  | { readonly kind: 'exhausted'; readonly message: string }
  /** A publication was dropped or created again: changes may be missing, so the next attempt starts a new epoch. */
  | { readonly kind: 'publication-changed'; readonly message: string }
  /** Postgres says no, and will until an operator changes something: privileges, password, `wal_level`. */
  | { readonly kind: 'refused'; readonly code: string; readonly message: string }
  | { readonly kind: 'silent'; readonly message: string }
  | { readonly kind: 'malformed-stream'; readonly message: string }

/** Carries a fault that no error code stands for. */
export class ReplicationError extends Error {
  readonly fault: ReplicationFault

  constructor(fault: ReplicationFault) {
    super(fault.message)
    this.fault = fault
  }
}

export const TAKES_NO_WRITES =
  'the database takes no writes: it is a standby that is not promoted yet, or read-only. Row changes come from the primary'

/** What an error while connecting or streaming means for the feed. */
export function faultOf(error: unknown): ReplicationFault {
  if (error instanceof ReplicationError) return error.fault
  const code = sqlStateOf(error)
  const { message: text } = error as { readonly message?: unknown }
  const message = typeof text === 'string' && text !== '' ? text : codeOf(error) || 'the connection was lost'
  if (code === null || code.startsWith('08')) return { kind: 'unreachable', message }
  if (code.startsWith('57P')) return { kind: 'restarting', message }
  if (code === READ_ONLY) return { kind: 'restarting', message: TAKES_NO_WRITES }
  if (code === '55006') return { kind: 'slot-held', message }
  if (code === '53300' || code === '53400') return { kind: 'exhausted', message: `${message}. ${EXHAUSTED}` }
  // The plugin did not find a publication. (A slot that is gone is seen before the stream is started.)
  if (code === '42704') return { kind: 'publication-changed', message }
  return { kind: 'refused', code, message }
}

/** `read_only_sql_transaction`, whatever is to be written. */
const READ_ONLY = '25006'

/** Whether a database that refuses to be prepared may do so later: it cannot be reached, lacks resources, or is a standby. */
export function isUnavailable(error: unknown): boolean {
  return isUnreachable(error) || /^(53...|25006)$/.test(codeOf(error))
}

const EXHAUSTED = 'Each server needs a slot and a session of its own: raise max_replication_slots and max_wal_senders, or stop a server'

/** How long to wait before the second attempt, and at most. */
const DELAYS_MS: Readonly<Record<ReplicationFault['kind'], readonly [number, number]>> = {
  // What another server prepares is asked for at an even pace.
  'slot-held': [1_000, 1_000],
  exhausted: [500, 5_000],
  // A user who drops a publication to create it again should be done before it is created here.
  'publication-changed': [1_000, 5_000],
  restarting: [200, 1_000],
  refused: [1_000, 30_000],
  'slot-lost': [100, 5_000],
  unreachable: [100, 5_000],
  silent: [100, 5_000],
  'malformed-stream': [100, 5_000],
}

/** How long to wait before the next attempt. `attempt` counts from 1, `jitter` is a random number from 0 to 1. */
export function retryDelayMs({ kind }: ReplicationFault, attempt: number, jitter: number): number {
  const [first, most] = DELAYS_MS[kind]
  return Math.min(most, first * 2 ** Math.min(attempt - 1, 16)) * (0.75 + jitter / 2)
}
