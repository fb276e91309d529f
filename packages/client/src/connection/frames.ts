import {
  BroadcastHeads,
  bytesOf,
  decodeServerFrame,
  encodeClientMessage,
  RealtimeError,
  type Decoded,
  type Message,
} from '@tidewire/protocol'
import { quoteBigNumbers } from '../listen/change-values.ts'
import type { RealtimeClientOptions, ResolvedOptions } from '../options.ts'

/** Stands for a frame that is neither text nor bytes, such as a Blob. It is refused as empty. */
const NOTHING = new Uint8Array()

/** How the messages of one connection are written and read: with the user's `encode` and `decode`, else as the version says. */
export class Frames {
  readonly #given: RealtimeClientOptions
  readonly #options: ResolvedOptions
  readonly #heads = new BroadcastHeads()

  constructor(given: RealtimeClientOptions, options: ResolvedOptions) {
    this.#given = given
    this.#options = options
  }

  /** Writes a message and sends it. Throws a RealtimeError when it cannot be written, and what `send` throws. */
  send(message: Message, send: (frame: string | ArrayBufferLike | ArrayBufferView) => void): void {
    const { topic, event, payload, ref, joinRef } = message
    const { encode } = this.#given
    try {
      if (encode === undefined) send(encodeClientMessage(this.#options.version, message))
      else encode({ topic, event, payload, ref: ref as string, ...(joinRef === null ? {} : { join_ref: joinRef as string }) }, send)
    } catch (cause) {
      if (cause instanceof RealtimeError) throw cause
      if (cause instanceof RangeError) throw new RealtimeError('name-too-long', cause.message, { cause })
      throw new RealtimeError('not-serializable', `The payload of "${event}" cannot be written.`, { cause })
    }
  }

  /** Reads a frame. `refuse` gets the code, or the thrown error, of one that cannot be read. */
  receive(data: unknown, take: (message: Message) => void, refuse: (cause: unknown) => void): void {
    const { decode } = this.#given
    if (decode !== undefined) {
      try {
        decode(data as string | ArrayBuffer, ({ join_ref, ...message }) => take({ ...message, joinRef: join_ref ?? null }))
      } catch (cause) {
        refuse(cause)
      }
      return
    }
    const decoded = typeof data === 'string' ? this.#text(data) : decodeServerFrame(this.#options.version, bytesOf(data) ?? NOTHING)
    if (decoded.ok) take(decoded.value)
    else refuse(decoded.code)
  }

  #text(text: string): Decoded<Message> {
    const { bigNumbers, version } = this.#options
    if (bigNumbers !== 'number' && text.includes('"postgres_changes"')) return decodeServerFrame(version, quoteBigNumbers(text))
    const known = this.#heads.read(text)
    if (known !== undefined) return { ok: true, value: known }
    const decoded = decodeServerFrame(version, text)
    if (decoded.ok) this.#heads.learn(text, decoded.value)
    return decoded
  }
}
