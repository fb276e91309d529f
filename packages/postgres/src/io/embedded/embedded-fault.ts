import { RealtimeError } from '@tidewire/protocol'

const REMEDY = 'Use a Postgres of your own instead: --db postgres://…'

export function databaseFault(sentence: string, options: { readonly cause?: unknown; readonly retryable?: boolean } = {}): RealtimeError {
  return new RealtimeError('database-unavailable', sentence, options)
}

/** The error of a system on which the embedded Postgres cannot run: one sentence with the reason, one with the remedy. */
export function unavailable(why: string, cause?: unknown): RealtimeError {
  return databaseFault(`${why.charAt(0).toUpperCase()}${why.slice(1)} ${REMEDY}`, cause === undefined ? {} : { cause })
}
