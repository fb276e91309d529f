/**
 * What the server needs from outside, as interfaces. The server knows Postgres, the clock and the network only through
 * these; `io/` and the package `postgres` implement them.
 */
import type { DecisionCode } from './decision-code.ts'
import type { AdminSqlResult, AdminTable, JsonObject, WhyStep } from '@tidewire/protocol'

/** Clock, timers and chance. Times are milliseconds. */
export interface Runtime {
  /** Wall clock, Unix milliseconds. May jump. */
  now(): number
  /** Monotonic milliseconds, for intervals. */
  uptime(): number
  setTimer(callback: () => void, afterMs: number): TimerHandle
  /** Runs once, when the event loop has read everything that is ready now. */
  endOfTurn(callback: () => void): void
  /** The share of time the loop was busy of late, 0 to 1. */
  loopUtilization(): number
  randomBytes(size: number): Uint8Array
}

/** A timer that may still be taken back. */
export interface TimerHandle {
  cancel(): void
}

/** The claims of a token whose signature is good. */
export type Claims = JsonObject

/** Why a token cannot be trusted, before any claim is looked at. */
export type TokenFault =
  | { readonly code: 'malformed' }
  | { readonly code: 'signature' }
  /** No key for this token: unknown algorithm, or no key with this id. */
  | { readonly code: 'signer'; readonly kid: string | null }

/** Checks signatures. What the claims must say is decided in `auth/token`. Never rejects. */
export interface TokenVerifier {
  verify(token: string): Promise<{ readonly ok: true; readonly claims: Claims } | { readonly ok: false; readonly fault: TokenFault }>
}

/** Who asks: what policies may read of a connection. */
export interface Identity {
  readonly role: string
  readonly claims: Claims
  /** The `x-*` headers of the upgrade (all headers for HTTP), names in lower case. */
  readonly headers: Readonly<Record<string, string>>
}

/** Who wants to use which private channel; the topic is without `realtime:`. */
export interface AuthorizationRequest {
  readonly subTopic: string
  readonly identity: Identity
  /** Where many ask, those of one origin wait for each other. Without it, those of one identity do. */
  readonly asker?: { readonly origin: object; isWaiting(): boolean }
}

/** `ok: false` means no answer could be had; `reason` is the text for the client, with its code in front. */
export type Authorization =
  | {
      readonly ok: true
      readonly broadcast: boolean
      readonly presence: boolean
      /** For the observer and for `dev`. */ readonly detail?: string
      /** A policy raised an error instead of answering; `detail` names it. */ readonly failed?: boolean
    }
  | { readonly ok: false; readonly reason: string }

/** Decides private channels. Never rejects. */
export interface Authorizer {
  /** May this identity receive on the topic? Asked at join and after a new token. */
  read(request: AuthorizationRequest): Promise<Authorization>
  /** May it send? Asked at first use and after a new token. */
  write(request: AuthorizationRequest): Promise<Authorization>
}

/** A broadcast that does not come from a socket, for example over HTTP. */
export interface PublishRequest {
  readonly subTopic: string
  readonly private: boolean
  readonly event: string
  /** `json` holds JSON text as it came, `binary` any bytes. */
  readonly payload: { readonly encoding: 'json' | 'binary'; readonly bytes: Uint8Array }
  /** Told to receivers as `meta.id`. */
  readonly id?: string
  /** How receivers of 2.0.0 get it: as a text frame, or as a user broadcast (binary kind 4). */
  readonly form: 'text' | 'user'
  readonly identity: Identity
}

/** What became of a broadcast. */
export type PublishOutcome =
  /** `receivers` are those of this node; `written`: until it is written to their sockets, where that is still to come. */
  | { readonly kind: 'accepted'; readonly receivers: number; readonly written?: Promise<void> }
  /** `detail`: which policy is missing or failed, for the log. */
  | { readonly kind: 'denied'; readonly detail?: string }
  | { readonly kind: 'too-large' }
  | { readonly kind: 'rate-limited' }
  /** Whether it is allowed could not be found out; `message` is for the sender. */
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

/** The stored messages, for joins that ask for a replay. */
export interface MessageStore {
  /** The newest `limit` private messages of the topic since a Unix time in milliseconds, oldest first. Never rejects. */
  replay(
    subTopic: string,
    sinceMs: number,
    limit: number,
  ): Promise<{ readonly ok: true; readonly messages: readonly StoredMessage[] } | { readonly ok: false; readonly reason: string }>
}

/** The row changes that one join asks for. */
export interface ChangeRequest {
  readonly subTopic: string
  /** The join's entries, unread, each with the id that the join reply gave it. */
  readonly entries: readonly { readonly id: number; readonly entry: unknown }[]
  readonly identity: Identity
  readonly positions: boolean
  /** A position to resume from; hostile input. */
  readonly since: string | null
  /** `authorized`: a delete is told only to those who could see the row (rule D14). */
  readonly deletes: 'all' | 'authorized'
  /** A join without `config`: one entry, made from the sub-topic (rule J6). */
  readonly legacy: boolean
}

/** The channel that asked, as far as the feed tells it something. */
export interface ChangeListener {
  /**
   * A change that this channel may see, as JSON text: event `postgres_changes` with `{ids, data}`, or, for a legacy
   * join, the change's type with the bare data. Listeners of one topic that get the same bytes get the same object,
   * one after the other, so that frames are built once.
   */
  change(event: string, payload: Uint8Array): void
  /** News about the subscription, sent to the client as a `system` message. `extra` is added to its payload: an error has a `ChangesFault`. */
  system(status: 'ok' | 'error', message: string, extra?: JsonObject): void
}

/** A subscription, until `close`: nothing is told after that. */
export interface ChangeHandle {
  /** A new token: what is delivered from now on is decided by it. */
  setIdentity(identity: Identity): void
  close(): void
}

/** A row change that was decided about, and handed on to whoever may see it. */
export interface DecidedChange {
  readonly schema: string
  readonly table: string
  readonly action: string
  /** Unix milliseconds by the database's clock. */
  readonly committedAt: number
  /** Channels that got it; 0 when nobody asked for it or nobody may see it. */
  readonly receivers: number
  /** What one of them got, as JSON text; `null` without receivers. Not to be kept. */
  readonly payload: Uint8Array | null
}

/** How far a feed has come. */
export interface FeedProgress {
  /** Bytes of the write-ahead log that are not delivered yet; what Postgres has written is seen every few seconds. */
  readonly lagBytes: number
  /** When the oldest change that waits was committed, Unix milliseconds; `null`: none waits. */
  readonly oldestAt: number | null
  /** A sentence when the feed stands still. */
  readonly trouble: string | null
  /** Why a client that resumes here would have to wait, as a sentence for anybody; `null`: it would not. */
  readonly unready?: string | null
  /** Why this node does less than its clients expect, as a sentence for anybody; `null`: it does what they expect. */
  readonly degraded?: string | null
  /** How far back clients can resume: the age of the oldest change that is kept, and the bytes of all. */
  readonly windowMs?: number
  readonly windowBytes?: number
  /** Faults so far of rows, tables, policies and filters; each was logged. */
  readonly faults?: number
}

/** How far a feed is behind, and how it is. */
export interface FeedLag {
  readonly bytes: number
  readonly ms: number
  /** Faults so far. */
  readonly faults?: number
}

/** Row changes. Ready is told through `listener.system`; nothing committed after that is missed. */
export interface ChangeFeed {
  open(request: ChangeRequest, listener: ChangeListener): ChangeHandle
  /** `decided` is told of every change from here on; `null`: nobody wants to know. */
  observe?(decided: ((change: DecidedChange) => void) | null): void
  progress?(): FeedProgress
}

/** An identity that is asked about, with the name of the topic that it would see in `realtime.topic()`. */
export interface ExplainTopic {
  readonly subTopic: string
  readonly identity: Identity
}

/** A row that is asked about, and who would see it. */
export interface ExplainChange {
  readonly identity: Identity
  readonly schema: string
  readonly table: string
  /** Values of the primary key, as text; hostile input like the rest. */
  readonly key: Readonly<Record<string, string>>
  /** Filters of subscriptions, as they were asked for. */
  readonly filters: readonly string[]
}

/**
 * Says why somebody does or does not get something, check by check, as that identity, without leaving anything behind.
 * For admins only: answers name policies. Never rejects: what cannot be found out is a step `unknown`.
 */
export interface Explainer {
  topic(question: ExplainTopic): Promise<readonly WhyStep[]>
  change(question: ExplainChange): Promise<readonly WhyStep[]>
  /** By what a row of a table, published or not, is found. */
  table(schema: string, table: string): Promise<ExplainedTable>
}

/** What is known of a table, or a sentence that says why nothing is. */
export type ExplainedTable = { readonly ok: true; readonly answer: AdminTable } | { readonly ok: false; readonly reason: string }

/** Runs SQL for the inspector of somebody's own machine, never as a superuser, bounded in rows and time. Never rejects. */
export interface AdminSql {
  run(sql: string): Promise<{ readonly ok: true; readonly result: AdminSqlResult } | { readonly ok: false; readonly reason: string }>
}

/** What the inspector stands on. */
export interface AdminPorts {
  /** Of admin keys. */
  readonly verifier: TokenVerifier
  /** Of the program, as it is shown. */
  readonly version: string
  readonly explainer?: Explainer | null
  readonly sql?: AdminSql | null
}

/** Everything that a server refused, dropped or closed, with its reason: logs, metrics and the inspector read it. */
export interface Decision {
  readonly kind:
    | 'upgrade-refused'
    | 'frame-refused'
    | 'join-refused'
    | 'push-refused'
    | 'channel-closed'
    | 'connection-closed'
    | 'http-refused'
    | 'publish-refused'
    | 'changes-refused'
    | 'changes-withheld'
  readonly code: DecisionCode
  /** A sentence; never holds a token or a payload. */
  readonly detail: string
  readonly connection?: string
  readonly topic?: string
  /** Whether the topic is a private one; missing where that could not be read. */
  readonly private?: boolean
}

/** What was fanned out: a broadcast, or what became of somebody's presence. Bytes are those that are sent, not to be kept. */
export interface SentMessage {
  readonly kind: 'broadcast' | 'track' | 'untrack'
  readonly private: boolean
  /** The socket that it came from; `null`: over HTTP or from the database. */
  readonly connection: string | null
  /** The event of a broadcast; `null` where it stands in the payload, as `event`. */
  readonly event: string | null
  readonly encoding: 'json' | 'binary'
  readonly payload: Uint8Array
}

/** A row change that was decided about, with the milliseconds from its commit to its frames (0 if the clocks differ by more). */
export interface ObservedChange extends DecidedChange {
  readonly ms: number
}

/** Follows broadcasts to their sockets, for tracing. Must not throw. */
export interface Tracer {
  /**
   * A broadcast begins, now or at `since` (milliseconds since 1970: the commit of one from the database); `traceparent` is what
   * its sender gave (rule B9). What is returned is called once, when it is written to the sockets of all its receivers.
   */
  broadcast(topic: string, traceparent: string | null, bytes: number, since: number | null): (receivers: number) => void
}

/**
 * Sees what happens; must not throw and must not keep anything waiting. What only optional methods tell is not
 * measured where no observer has them.
 */
export interface Observer {
  decision(decision: Decision): void
  connected(connection: string): void
  disconnected(connection: string, code: number): void
  joined(connection: string, topic: string, isPrivate: boolean): void
  left(connection: string, topic: string, isPrivate: boolean): void
  /** A message fanned out to `receivers` subscribers, which may be none; `bytes` of payload. */
  broadcast(topic: string, receivers: number, bytes: number, message: SentMessage): void
  /** A frame from a client. */
  received(bytes: number): void
  /** A message is written to the sockets of all its receivers: milliseconds since its frame came in. */
  fannedOut?: ((ms: number) => void) | undefined
  /** A message that SQL sent is written to the sockets of all its receivers, or there are none: milliseconds since its commit. */
  storedFannedOut?: ((ms: number) => void) | undefined
  /** Milliseconds that the policies of a private channel took to answer. */
  authorized?: ((ms: number) => void) | undefined
  /** A row change is written. For insert → frame look at `ms` of those with receivers. */
  changed?: ((change: ObservedChange) => void) | undefined
  /** Once a second while there is a feed: how far it is behind. `ms`: how long the oldest change has waited. */
  feedLag?: ((lag: FeedLag) => void) | undefined
}
