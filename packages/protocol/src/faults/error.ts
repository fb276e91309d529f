import type { ChangesFaultCode } from './changes-fault.ts'

/**
 * Every way a Tidewire call can fail. The list is closed: a program may switch over it.
 * Causes and remedies are listed in `docs/errors.md`.
 */
export type RealtimeErrorCode =
  | 'bad-option'
  | 'bad-argument'
  | 'not-joined'
  | 'already-joined'
  | 'join-refused'
  | 'unauthorized'
  | 'token-expired'
  | 'token-unavailable'
  | 'push-refused'
  | 'timeout'
  | 'aborted'
  | 'channel-closed'
  | 'channel-crashed'
  | 'connection-lost'
  | 'disconnected'
  | 'no-transport'
  | 'binding-mismatch'
  | 'not-serializable'
  | 'name-too-long'
  | 'malformed-frame'
  | 'payload-too-large'
  | 'rate-limited'
  | 'http-failed'
  | 'listener-threw'
  | 'buffer-overflow'
  | 'database-unavailable'
  | 'port-in-use'
  | 'unreachable'
  | 'wrong-path'
  | ChangesFaultCode

/** The members of an error beside its code and sentence. */
export interface RealtimeErrorOptions {
  readonly cause?: unknown
  /** Whether the same call may succeed later without a change by the caller. Default false. */
  readonly retryable?: boolean
  /** The remedy, where the message is the server's or the database's. */
  readonly hint?: string | undefined
}

/** The one error type of Tidewire: a closed `code`, a sentence that says what to do, and the `cause` if there is one. */
export class RealtimeError extends Error {
  readonly code: RealtimeErrorCode
  readonly retryable: boolean
  /** The cause and the remedy, in SQL where SQL is one; absent where the message says it. */
  declare readonly hint?: string

  constructor(code: RealtimeErrorCode, message: string, options: RealtimeErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'RealtimeError'
    this.code = code
    this.retryable = options.retryable ?? false
    if (options.hint !== undefined) this.hint = options.hint
  }
}
