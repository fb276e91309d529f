import type { Identity } from './auth.ts'
import type { JoinPosition } from './log.ts'

/** A broadcast that does not come from a socket, for example over HTTP. */
export interface PublishRequest {
  readonly subTopic: string
  readonly private: boolean
  readonly event: string
  /** `json`: JSON text in its original bytes; `binary`: any bytes. */
  readonly payload: { readonly encoding: 'json' | 'binary'; readonly bytes: Uint8Array }
  /** Receivers get it as `meta.id`. */
  readonly id?: string
  /** How receivers of 2.0.0 get it: as a text frame, or as a user broadcast (binary kind 4). */
  readonly form: 'text' | 'user'
  readonly identity: Identity
}

/** The outcome of a broadcast. */
export type PublishOutcome =
  /** `receivers`: their number on this node. `written` settles when it is written to their sockets; absent when it is. */
  | { readonly kind: 'accepted'; readonly receivers: number; readonly written?: Promise<void> }
  /** `detail` names the policy that is missing or failed, for the log. */
  | { readonly kind: 'denied'; readonly detail?: string }
  | { readonly kind: 'too-large' }
  | { readonly kind: 'rate-limited' }
  /** The policies could not be asked; `message` is for the sender. */
  | { readonly kind: 'unavailable'; readonly message: string }

/** Checks permission and limits and fans out. Never rejects. */
export type Publish = (request: PublishRequest) => Promise<PublishOutcome>

/** A message that is stored and may be replayed to private channels. */
export interface StoredMessage {
  readonly id: string
  readonly event: string
  readonly encoding: 'json' | 'binary'
  readonly bytes: Uint8Array
}

/** `position`: behind it is all that these messages were chosen from; absent: not known. */
export type Replay =
  | { readonly ok: true; readonly messages: readonly StoredMessage[]; readonly position?: JoinPosition | null }
  | { readonly ok: false; readonly reason: string }

/** The stored messages, for joins that ask for a replay. */
export interface MessageStore {
  /** The newest `limit` private messages of the topic since a Unix time in milliseconds, oldest first. Never rejects. */
  replay(subTopic: string, sinceMs: number, limit: number): Promise<Replay>
}
