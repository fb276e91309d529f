import { ADMIN_TOPIC, encodeTextMessage, type AdminEvents, type AdminWatch, type Ref } from '@tidewire/protocol'
import type { AdminPeer } from '../connection/admin-endpoint.ts'
import { textFrame } from '../topic/websocket-frame.ts'
import { LogBuffer } from './log-buffer.ts'

/** With a larger backlog, an inspector gets answers only; the rows that it misses are counted. */
const MAX_WAITING_BYTES = 256 * 1024

/** Questions that one inspector may have open at once. */
const MAX_QUESTIONS = 4

/** Where frames for an inspector go. */
export type InspectorPeer = Pick<AdminPeer, 'id' | 'version' | 'backlogBytes' | 'write'>

/** One inspector that joined. */
export class Inspector {
  readonly log: LogBuffer = new LogBuffer()
  readonly peer: InspectorPeer
  readonly joinRef: Ref
  expiresAtMs: number
  /** The inspector missed ticks: its lists of connections and topics are old. */
  missedTicks = false
  #questions = 0

  constructor(peer: InspectorPeer, joinRef: Ref, expiresAtMs: number) {
    this.peer = peer
    this.joinRef = joinRef
    this.expiresAtMs = expiresAtMs
  }

  get isBehind(): boolean {
    return this.peer.backlogBytes > MAX_WAITING_BYTES
  }

  setWatch(watch: AdminWatch): void {
    this.log.setWatch(watch)
  }

  notify<Event extends keyof AdminEvents>(event: Event, payload: AdminEvents[Event]): void {
    send(this.peer, this.joinRef, null, event, payload)
  }

  reply(ref: Ref, status: 'ok' | 'error', response: unknown): void {
    reply(this.peer, this.joinRef, ref, status, response)
  }

  /** Answers on `ref` when `question` settles. Refuses a question while too many are open. */
  async ask(
    ref: Ref,
    question: () => Promise<{ readonly ok: true; readonly answer: unknown } | { readonly ok: false; readonly reason: string }>,
  ): Promise<void> {
    if (this.#questions >= MAX_QUESTIONS)
      return this.reply(ref, 'error', { reason: `TooManyQuestions: ${MAX_QUESTIONS} questions are still being answered` })
    this.#questions++
    const answered = await question()
    this.#questions--
    if (answered.ok) this.reply(ref, 'ok', answered.answer)
    else this.reply(ref, 'error', { reason: answered.reason })
  }

  close(message: string): void {
    send(this.peer, this.joinRef, null, 'system', { message, status: 'error', extension: 'system', channel: ADMIN_TOPIC })
    send(this.peer, this.joinRef, this.joinRef, 'phx_close', {})
  }
}

export function reply(peer: InspectorPeer, joinRef: Ref, ref: Ref, status: 'ok' | 'error', response: unknown): void {
  if (ref !== null) send(peer, joinRef, ref, 'phx_reply', { status, response })
}

function send(peer: InspectorPeer, joinRef: Ref, ref: Ref, event: string, payload: unknown): void {
  peer.write(textFrame(encodeTextMessage(peer.version, { joinRef, ref, topic: ADMIN_TOPIC, event, payload })), 1)
}
