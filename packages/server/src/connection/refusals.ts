import { CloseCode, type ClientFrame, type decodeClientFrame, type Ref } from '@tidewire/protocol'
import type { DecisionCode } from '../decision-code.ts'
import type { ConnectionRates } from '../limits/connection-rates.ts'
import type { UnfinishedFault } from '../limits/unfinished-messages.ts'
import type { Observer } from '../ports.ts'
import type { JoinRefusal } from './join-check.ts'

/** A connection that refuses what no channel of it has taken. */
export interface RefusingConnection {
  readonly id: string
  readonly rates: ConnectionRates
  readonly services: { readonly observer: Observer }
  reply(joinRef: Ref, ref: Ref, topic: string, status: 'ok' | 'error', response: unknown): void
  /** A `system` message about the socket. */
  systemError(message: string): void
  close(code: number, reason: string): void
}

/** Refuses a frame that cannot be read: on its ref where that could be read, else by a `system` message (rule X2). */
export function refuseFrame(connection: RefusingConnection, fault: Extract<ReturnType<typeof decodeClientFrame>, { ok: false }>): void {
  report(connection, fault.code, fault.detail)
  if (!connection.rates.allowEvent()) return connection.close(CloseCode.policyViolation, 'Too many malformed frames')
  if (fault.envelope !== undefined && fault.envelope.ref !== null) {
    const { joinRef, ref, topic } = fault.envelope
    connection.reply(joinRef, ref, topic, 'error', { reason: `MalformedPayload: ${fault.detail}` })
  } else if (connection.rates.allowNotice(fault.code)) connection.systemError(`MalformedWebSocketMessage: ${fault.detail}`)
}

/** Closes the socket because of too many frames that are for no channel (rule L15). */
export function refuseIdleFrame(connection: RefusingConnection): void {
  const message = 'TooManyFrames: Too many frames per second that are for no channel'
  report(connection, 'too-many-idle-frames', message)
  connection.systemError(message)
  connection.close(CloseCode.policyViolation, 'Too many frames per second')
}

/** Reports a message that did not end in time, or that unfinished messages take too much memory. Returns the reason of the close. */
export function reportUnfinished(connection: RefusingConnection, fault: UnfinishedFault): string {
  const detail = fault === 'frame-timeout' ? 'A message took too long to end' : 'Too much of unfinished messages is waiting'
  report(connection, fault, detail)
  return detail
}

export function refuseJoin(
  connection: RefusingConnection,
  { topic, ref, joinRef }: ClientFrame,
  { code, reason, private: isPrivate }: JoinRefusal,
): void {
  const kind = isPrivate === undefined ? {} : { private: isPrivate }
  connection.services.observer.decision({ kind: 'join-refused', code, detail: reason, connection: connection.id, topic, ...kind })
  connection.reply(joinRef, ref, topic, 'error', { reason })
}

/** Reports that the server closes the socket, unless it does so because the client is silent. */
export function reportClose({ id, services }: RefusingConnection, code: number, reason: string): void {
  if (code === CloseCode.normal) return
  const detail = reason === '' ? 'the server closed the connection; the client may come back' : reason
  services.observer.decision({ kind: 'connection-closed', code: `close-${code}`, detail, connection: id })
}

function report({ id, services }: RefusingConnection, code: DecisionCode, detail: string): void {
  services.observer.decision({ kind: 'frame-refused', code, detail, connection: id })
}
