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
  /** Postgres says no, and will until an operator changes something: privileges, password, `wal_level`, no free slot. */
  | { readonly kind: 'refused'; readonly code: string; readonly message: string }
  /** Nothing was heard of the server for too long. */
  | { readonly kind: 'silent'; readonly message: string }
  /** The server sent what cannot be understood. */
  | { readonly kind: 'malformed-stream'; readonly message: string }

/** An error of `pg`, of Postgres or of a socket, as far as it matters here. */
export interface ErrorLike {
  readonly code?: unknown
  readonly message?: unknown
}

export const TAKES_NO_WRITES =
  'the database takes no writes: it is a standby that is not promoted yet, or read-only. Row changes come from the primary'

/** What an error while connecting or streaming means for the feed. */
export function faultOf(error: ErrorLike): ReplicationFault {
  const code = typeof error.code === 'string' ? error.code : ''
  const message = typeof error.message === 'string' && error.message !== '' ? error.message : code === '' ? 'the connection was lost' : code
  // Everything else that has no SQLSTATE comes from the network or from pg itself.
  if (!/^[0-9A-Z]{5}$/.test(code) || code.startsWith('E')) return { kind: 'unreachable', message }
  if (code.startsWith('57P')) return { kind: 'restarting', message }
  if (code === READ_ONLY) return { kind: 'restarting', message: TAKES_NO_WRITES }
  if (code === '55006') return { kind: 'slot-held', message }
  if (code === '53300' || code === '53400') return { kind: 'exhausted', message: exhaustedText(message) }
  // The plugin did not find a publication. (A slot that is gone is seen before the stream is started.)
  if (code === '42704') return { kind: 'publication-changed', message }
  if (code.startsWith('08')) return { kind: 'unreachable', message }
  return { kind: 'refused', code, message }
}

/**
 * Whether there was no Postgres to ask, none that has time for more sessions, or a standby; whatever else went wrong will go wrong
 * again. (`pg` has no code for a connection that ended or took too long.)
 */
export function isUnavailable(error: unknown): boolean {
  const { code, message = '' } = error as { readonly code?: unknown; readonly message?: string }
  if (typeof code === 'string') return /^E[A-Z]{3}/.test(code) || /^(08|57P|53300)/.test(code) || code === READ_ONLY
  return /^(Connection terminated|timeout expired|timeout exceeded)/.test(message)
}

/** `read_only_sql_transaction`, whatever is to be written. */
const READ_ONLY = '25006'

function exhaustedText(message: string): string {
  return `${message}. Each server needs a slot and a session of its own: raise max_replication_slots and max_wal_senders, or stop a server`
}

/** How long to wait before the next attempt. `attempt` counts from 1, `chance` is from 0 to 1 and spreads out many who wait. */
export function retryDelayMs(fault: ReplicationFault, attempt: number, chance: number): number {
  const grown = (first: number, most: number): number => Math.min(most, first * 2 ** Math.min(attempt - 1, 16))
  const spread = 0.75 + chance / 2
  switch (fault.kind) {
    case 'slot-held':
      return 1_000 * spread
    case 'exhausted':
      return grown(500, 5_000) * spread
    // A user who drops a publication to create it again should be done before it is created here.
    case 'publication-changed':
      return grown(1_000, 5_000) * spread
    case 'restarting':
      return grown(200, 1_000) * spread
    case 'refused':
      return grown(1_000, 30_000) * spread
    case 'slot-lost':
    case 'unreachable':
    case 'silent':
    case 'malformed-stream':
      return grown(100, 5_000) * spread
  }
}
