import type { JsonObject } from '@tidewire/protocol'
import type { MessageCommit } from '../ports/log.ts'
import type { TopicMessage } from '../ports/topic.ts'
import type { StoredMessageBuffer } from '../topic/subscriber.ts'

/** A join that waits is answered early when more bytes of row changes than this are held for it. */
const MAX_CHANGE_BYTES = 1_048_576

/** A message for a channel whose join has no reply yet. */
export type Held =
  | { readonly kind: 'stored'; readonly commit: MessageCommit | null; readonly message: TopicMessage }
  | { readonly kind: 'change'; readonly event: string; readonly payload: Uint8Array }
  | { readonly kind: 'system'; readonly status: 'ok' | 'error'; readonly message: string; readonly extra: JsonObject | undefined }

/** Holds, in order, what arrives for a channel before its join is answered: clients ignore what precedes the reply. */
export class JoinBuffer implements StoredMessageBuffer {
  readonly #held: Held[] = []
  #changeBytes = 0

  get isFull(): boolean {
    return this.#changeBytes > MAX_CHANGE_BYTES
  }

  hold(held: Held): void {
    this.#held.push(held)
    if (held.kind === 'change') this.#changeBytes += held.payload.length
  }

  holdStored(commit: MessageCommit | null, message: TopicMessage): void {
    this.hold({ kind: 'stored', commit, message })
  }

  takeAll(): readonly Held[] {
    return this.#held.splice(0)
  }
}
