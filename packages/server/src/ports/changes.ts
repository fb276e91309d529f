import type { JsonObject } from '@tidewire/protocol'
import type { Identity } from './auth.ts'

/** The row changes that one join asks for. */
export interface ChangeRequest {
  readonly subTopic: string
  /** The entries of the join, not validated, each with the id of the join reply. */
  readonly entries: readonly { readonly id: number; readonly entry: unknown }[]
  readonly identity: Identity
  readonly positions: boolean
  /** A position to resume from; hostile input. */
  readonly since: string | null
  /** `authorized`: a delete is delivered only to users that could see the row (rule D14). */
  readonly deletes: 'all' | 'authorized'
  /** A join without `config`: one entry, made from the sub-topic (rule J6). */
  readonly legacy: boolean
}

/** The channel that asked, as a receiver of the feed. */
export interface ChangeListener {
  /**
   * A change that this channel may see, as JSON text: event `postgres_changes` with `{ids, data}`, or, for a legacy
   * join, the change's type with the bare data. Listeners of one topic that get the same bytes get the same object,
   * one after the other, so that frames are built once.
   */
  change(event: string, payload: Uint8Array): void
  /** A `system` message to the client about the subscription. `extra` is added to its payload: an error has a `ChangesFault`. */
  system(status: 'ok' | 'error', message: string, extra?: JsonObject): void
}

/** A subscription, until `close`: nothing is delivered after that. */
export interface ChangeHandle {
  /** A new token: later changes are decided by this identity. */
  setIdentity(identity: Identity): void
  close(): void
}

/** A row change that was decided about, and delivered to the channels that may see it. */
export interface DecidedChange {
  readonly schema: string
  readonly table: string
  readonly action: string
  /** Unix milliseconds by the database's clock. */
  readonly committedAt: number
  /** Channels that got it; 0 when no channel asked for it or may see it. */
  readonly receivers: number
  /** The payload of one receiver, as JSON text; `null` without receivers. Must not be kept. */
  readonly payload: Uint8Array | null
}

/** The progress of a feed. */
export interface FeedProgress {
  /** Bytes of the write-ahead log that are not delivered yet; the end of the log is read every few seconds. */
  readonly lagBytes: number
  /** When the oldest change that waits was committed, Unix milliseconds; `null`: none waits. */
  readonly oldestAt: number | null
  /** A sentence while the feed makes no progress; `null`: it does. */
  readonly trouble: string | null
  /** Why a client that resumes here would have to wait, as a sentence that names no user; `null`: it would not. */
  readonly unready?: string | null
  /** Why this node does less than its clients expect, as a sentence that names no user; `null`: it does what they expect. */
  readonly degraded?: string | null
  /** How far back clients can resume: the age of the oldest change that is kept, and the bytes of all. */
  readonly windowMs?: number
  readonly windowBytes?: number
  /** Faults so far of rows, tables, policies and filters; each was logged. */
  readonly faults?: number
}

/** How far a feed is behind, and how many faults it has had so far. */
export interface FeedLag {
  readonly bytes: number
  readonly ms: number
  readonly faults?: number
}

/** Row changes. Ready is reported through `listener.system`; nothing committed after that is missed. */
export interface ChangeFeed {
  open(request: ChangeRequest, listener: ChangeListener): ChangeHandle
  /** From now on, `onDecided` is called for every change; `null` ends that. */
  observe?(onDecided: ((change: DecidedChange) => void) | null): void
  progress?(): FeedProgress
}
