import { RealtimeError, type TimerPort } from '@tidewire/protocol'
import type { Membership } from './membership.ts'
import type { ChannelHost } from './ports.ts'

/** How long a socket that is closing is given to be gone. */
const CLOSING_MS = 100

/** How long and how often `sendWithAck` tries. */
export interface AckOptions {
  /** How long each try may take, joining included. Milliseconds, default: the channel's timeout. */
  timeout?: number
  /** How often to try again. Default 0. */
  retries?: number
  /** Goes along with every try, so that a server can recognise a repetition. Default: made up. */
  idempotencyKey?: string
  /** Ends the wait. What was sent may have reached the others. */
  signal?: AbortSignal
}

/** The outcome, after so many tries. `response` is the server's own; `error` is that of the last try. */
export type AckResult =
  | { readonly ok: true; readonly attempts: number; readonly response: unknown }
  | { readonly ok: false; readonly attempts: number; readonly error: RealtimeError }

export async function sendWithAck(
  host: ChannelHost,
  membership: Membership,
  event: string,
  payload: unknown,
  options: AckOptions,
): Promise<AckResult> {
  const { timeout: timeoutMs = membership.joinTimeoutMs, retries = 0, signal } = options
  const { runtime } = host
  const { idempotencyKey = `${runtime.nowMs()}-${runtime.random()}` } = options
  const message = { type: 'broadcast', event, payload, idempotency_key: idempotencyKey }
  for (let attempts = 1; ; attempts++) {
    try {
      if (membership.config.broadcast?.ack !== true)
        throw new RealtimeError('bad-argument', 'sendWithAck() needs a channel with `config.broadcast.ack: true`.')
      await membership.ready(timeoutMs, signal)
      return { ok: true, attempts, response: await membership.push({ event: 'broadcast', payload: message, timeoutMs, signal }) }
    } catch (caught) {
      const error = caught as RealtimeError
      if (!error.retryable || attempts > retries) return { ok: false, attempts, error }
      // The socket is closing and has not said so yet: tries that follow at once would all end the same way.
      if (error.code === 'connection-lost' && membership.canPush) await pause(host)
    }
  }
}

function pause(timers: TimerPort): Promise<void> {
  return new Promise((resolve) => void timers.setTimer(resolve, CLOSING_MS))
}
