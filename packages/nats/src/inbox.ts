import type { RelayFaultCode, RelayTopic, Runtime } from '@tidewire/server'
import { decodeEnvelope, type Envelope } from './envelope.ts'
import { MAX_MESSAGE_BYTES } from './outbox.ts'
import { Parts } from './parts.ts'

/** The events of an inbox, for its relay. */
export interface InboxHandlers {
  fault(code: RelayFaultCode, detail: string): void
  /** Messages of these topics cannot be read; at least one. */
  gap(topics: readonly RelayTopic[]): void
}

/** Reads messages of the broker: checks envelopes, and joins those that came in parts. */
export class Inbox {
  /** The instance of this node. */
  readonly #self: string
  readonly #runtime: Pick<Runtime, 'uptime'>
  readonly #handlers: InboxHandlers
  readonly #parts = new Parts({ maxMessageBytes: MAX_MESSAGE_BYTES, maxPendingBytes: 4 * MAX_MESSAGE_BYTES, timeoutMs: 10_000 })
  /** Topics with a message of a version that this node cannot read, by key. */
  readonly #unreadable = new Map<string, RelayTopic>()
  receivedBytes = 0

  constructor(self: string, runtime: Pick<Runtime, 'uptime'>, handlers: InboxHandlers) {
    this.#self = self
    this.#runtime = runtime
    this.#handlers = handlers
  }

  /** Returns an envelope that is whole and of another node, else `null`. `topic`: that of the subject; `null`, with an empty `key`, for node messages. */
  read(key: string, bytes: Uint8Array, topic: RelayTopic | null): Exclude<Envelope, { readonly kind: 'part' }> | null {
    this.receivedBytes += bytes.length
    const decoded = decodeEnvelope(bytes)
    if (!decoded.ok) {
      const { code, detail } = decoded.fault
      if (code === 'version' && topic !== null) this.#unreadable.set(key, topic)
      this.#handlers.fault(code, `A message from the broker cannot be read: ${detail}`)
      return null
    }
    const envelope = decoded.value
    if (envelope.from === this.#self) return null
    const source = `${envelope.from} ${key}`
    if (envelope.kind !== 'part') {
      if (this.#parts.interrupt(source)) this.#incomplete()
      return envelope
    }
    const { whole, lost } = this.#parts.add(source, envelope.part, this.#runtime.uptime())
    if (lost) this.#incomplete()
    if (whole === null) return null
    const inner = decodeEnvelope(whole)
    if (inner.ok && inner.value.kind !== 'part' && inner.value.from === envelope.from) return inner.value
    this.#handlers.fault('malformed', 'A message that came in parts cannot be read')
    return null
  }

  /** To be called every second. */
  tick(): void {
    for (let count = this.#parts.expire(this.#runtime.uptime()); count > 0; count--) this.#incomplete()
    if (this.#unreadable.size === 0) return
    this.#handlers.gap([...this.#unreadable.values()])
    this.#unreadable.clear()
  }

  /** To be called when the link goes down: unfinished messages will not end. */
  lost(): void {
    this.#parts.clear()
  }

  /** Reports a fault but no gap: the numbers of the sender already reveal the missing message. */
  #incomplete(): void {
    this.#handlers.fault('incomplete', 'Parts of a large message did not all come')
  }
}
