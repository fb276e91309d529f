import { RealtimeError } from '@tidewire/protocol'

/** Why a socket is gone. `code` is absent when nothing came from the socket itself. */
export interface Loss {
  readonly code?: number
  readonly reason: string
  readonly wasClean: boolean
  /** The obstacle, where it is known. All but `unreachable` end the attempts. */
  readonly fault?: 'no-transport' | 'unauthorized' | 'wrong-path' | 'unreachable'
}

/** Whether trying again would end the same way. */
export function isFinal({ fault }: Loss): boolean {
  return fault !== undefined && fault !== 'unreachable'
}

/** The error that channels report when the socket is gone. */
export function lossError(loss: Loss): RealtimeError {
  const { code, reason, wasClean, fault } = loss
  const text = code === undefined || fault !== undefined ? reason : `socket closed: ${code}${reason && ` (${reason})`}`
  const cause = code === undefined ? undefined : { code, reason, wasClean }
  return new RealtimeError(fault ?? 'connection-lost', text, { cause, retryable: !isFinal(loss) })
}

/**
 * The meaning of a failed handshake, by the HTTP status at the socket's own address; `null`: nothing answers there. `isFirst`: no
 * handshake has succeeded before; a path that worked once is on its way back.
 */
export function handshakeLoss(loss: Loss, status: number | null, address: string, isFirst: boolean): Loss {
  if (status === null) return { ...loss, fault: 'unreachable', reason: `No server answers at ${address}.` }
  if (status === 401 || status === 403)
    return { ...loss, fault: 'unauthorized', reason: `${address} does not take the API key (${status}).` }
  if (status === 404 && isFirst)
    return { ...loss, fault: 'wrong-path', reason: `No realtime server at ${address} (404): its URL ends in /realtime/v1.` }
  return loss
}
