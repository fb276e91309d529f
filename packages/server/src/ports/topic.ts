import type { UserBroadcast } from '@tidewire/protocol'

export type { TopicKey } from '@tidewire/protocol'

/** A message to the subscribers of a topic. The payload is kept in the bytes in which it came. */
export type TopicMessage =
  /** `payload` is JSON text, sent as it is inside a text envelope. */
  | { readonly kind: 'text'; readonly event: string; readonly payload: Uint8Array }
  /**
   * A broadcast with its user event outside the payload: a binary frame of kind 4, or a text envelope for 1.0.0 and for
   * every version where `asText` is set (rules B4, H2).
   */
  | { readonly kind: 'user'; readonly broadcast: UserBroadcast; readonly asText?: boolean }
  /** An opaque push: a binary frame of kind 2; it has no text form (rule X3). */
  | { readonly kind: 'opaque'; readonly event: string; readonly bytes: Uint8Array }
