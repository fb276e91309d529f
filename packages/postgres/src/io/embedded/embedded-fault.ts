import { RealtimeError } from '@tidewire/protocol'

const REMEDY = 'Use a Postgres of your own instead: --db postgres://…'

/** The error of a system on which the embedded Postgres cannot run: one sentence with the reason, one with the remedy. */
export function unavailable(why: string, cause?: unknown): RealtimeError {
  const sentence = `${why.charAt(0).toUpperCase()}${why.slice(1)} ${REMEDY}`
  return new RealtimeError('database-unavailable', sentence, cause === undefined ? {} : { cause })
}
