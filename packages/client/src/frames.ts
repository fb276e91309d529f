import { decodeServerFrame, encodeClientMessage, RealtimeError, type Message } from '@tidewire/protocol'
import { quoteBigNumbers } from './change-values.ts'
import type { RealtimeClientOptions, ResolvedOptions } from './options.ts'

/** Writes a message with the user's `encode`, else as the version says, and sends it. Throws a RealtimeError when it cannot be written. */
export function encodeAndSend(
  message: Message,
  { encode }: RealtimeClientOptions,
  { version }: ResolvedOptions,
  send: (frame: string | ArrayBufferLike | ArrayBufferView) => void,
): void {
  const { topic, event, payload, ref, joinRef } = message
  try {
    if (encode === undefined) send(encodeClientMessage(version, message))
    else encode({ topic, event, payload, ref: ref as string, ...(joinRef === null ? {} : { join_ref: joinRef as string }) }, send)
  } catch (cause) {
    if (cause instanceof RangeError) throw new RealtimeError('name-too-long', cause.message, { cause })
    throw new RealtimeError('not-serializable', `The payload of "${event}" cannot be written.`, { cause })
  }
}

/** Reads a frame with the user's `decode`, else as the version says. What cannot be read goes to `refuse`, with a code or what was thrown. */
export function decodeFrame(
  data: unknown,
  { decode }: RealtimeClientOptions,
  { bigNumbers, version }: ResolvedOptions,
  take: (message: Message) => void,
  refuse: (cause: unknown) => void,
): void {
  if (decode !== undefined) {
    try {
      decode(data as string | ArrayBuffer, ({ join_ref, ...message }) => take({ ...message, joinRef: join_ref ?? null }))
    } catch (cause) {
      refuse(cause)
    }
    return
  }
  const frame = data instanceof ArrayBuffer ? new Uint8Array(data) : (data as string | Uint8Array)
  const isBig = bigNumbers !== 'number' && typeof frame === 'string' && frame.includes('"postgres_changes"')
  const decoded = decodeServerFrame(version, isBig ? quoteBigNumbers(frame) : frame)
  if (decoded.ok) take(decoded.value)
  else refuse(decoded.code)
}
