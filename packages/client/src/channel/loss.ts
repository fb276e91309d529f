import { RealtimeError } from '@tidewire/protocol'

/** Why a socket is gone. `code` is absent when nothing came from the socket itself. */
export interface Loss {
  readonly code?: number
  readonly reason: string
  readonly wasClean: boolean
  /** Set when trying again would end the same way: there is no WebSocket here, or the server does not take the API key. */
  readonly final?: 'no-transport' | 'unauthorized'
}

/** What channels tell their subscribers when the socket is gone. */
export function lossError({ code, reason, wasClean, final }: Loss): RealtimeError {
  const text = code === undefined ? reason : `socket closed: ${code}${reason && ` (${reason})`}`
  const cause = code === undefined ? undefined : { code, reason, wasClean }
  return new RealtimeError(final ?? 'connection-lost', text, { cause, retryable: final === undefined })
}
