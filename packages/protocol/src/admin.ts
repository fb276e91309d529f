/**
 * The admin channel: what a server reports to an inspector, over the same protocol. It is joined with
 * a key of its own, not with the keys of clients, and it is sampled and bounded: every list says how much it left out.
 */
import type { JsonObject } from './message.ts'

/**
 * The whole topic on the wire, without the prefix that the topics of clients have: no channel of theirs can be called
 * so, and an inspector speaks to its socket itself (`phx_join`, `heartbeat`, `access_token`, replies by ref).
 */
export const ADMIN_TOPIC = 'tidewire:admin'

/** The `role` of an admin key. It is signed with a secret of its own, so that no key of a client can pass for one. */
export const ADMIN_ROLE = 'tidewire_admin'

/** The answer of `GET /_/session.json`, for the inspector's page and no page of another origin. */
export interface InspectorSession {
  /** An admin key, good for some minutes: `apikey` of the socket and `access_token` of the join. `null`: the page asks its user for one. */
  readonly token: string | null
  /** Unix milliseconds; a new key is to be asked for before. */
  readonly expiresAt: number | null
  /** The key of clients, for what the page sends like one; `null` where the server does not know it. */
  readonly anonKey: string | null
}

/** Events for a joined inspector, with the shape of their payloads. */
export interface AdminEvents {
  /** Sent after the join, and again after an inspector was too slow for everything. */
  readonly admin_state: AdminState
  /** Twice a second: figures, and the topics and connections that changed since the last one. */
  readonly admin_tick: AdminTick
  /** Sent at most ten times a second. */
  readonly admin_log: AdminLog
}

/** Questions of an inspector, each a push with a reply: its payload and the response of an `ok` reply. An `error` reply has `{reason}`, `Code: sentence`. */
export interface AdminRequests {
  /** Members and presences of one topic. */
  readonly admin_topic: readonly [request: { readonly topic: string; readonly private: boolean }, response: AdminTopicDetail]
  readonly admin_why: readonly [request: WhyQuestion, response: WhyAnswer]
  /** The primary key of a table, which a question about a row needs. */
  readonly admin_table: readonly [request: { readonly schema: string; readonly table: string }, response: AdminTable]
  /** All known nodes. */
  readonly admin_nodes: readonly [request: { readonly [name: string]: never }, response: { readonly nodes: readonly AdminNode[] }]
  /** Closes sockets with 1008. `silent` names nodes that did not answer in time. */
  readonly admin_disconnect: readonly [
    request: DisconnectTarget,
    response: { readonly disconnected: number; readonly silent: readonly string[] },
  ]
  /** `dev` only; runs as a login of the project's database that is not a superuser. */
  readonly admin_sql: readonly [request: { readonly sql: string }, response: AdminSqlResult]
  /** The content of the log; the server answers with the settings that it applied. Payloads are off until an inspector asks for them. */
  readonly admin_watch: readonly [request: AdminWatch, response: AdminWatch]
}

/** A node of the cluster, as it was when it was asked. Figures are 0 or `null` where it did not answer. */
export interface AdminNode {
  /** Distinguishes the runs of processes; empty where there is only one node. */
  readonly instance: string
  readonly name: string
  readonly version: string
  /** Unix milliseconds by its own clock. */
  readonly startedAt: number
  /** The one that this inspector is connected to. */
  readonly isAsked: boolean
  readonly answers: boolean
  readonly connections: number
  readonly topics: number
  /** How far its row changes are behind; `null` without a database. */
  readonly lagBytes: number | null
  readonly lagMs: number | null
  /** A sentence when something is wrong there. */
  readonly trouble: string | null
}

/** The connections of a user on all nodes, or one connection: of the named node, else of the one that is asked. */
export type DisconnectTarget = { readonly sub: string } | { readonly connection: string; readonly node?: string }

/** Response of the join. */
export interface AdminWelcome {
  /** The name of the node that is shown; `null` where there is only one. */
  readonly node: string | null
  readonly version: string
  /** Unix milliseconds. */
  readonly startedAt: number
  /** Whether `admin_sql` is answered: in `dev` with a database. */
  readonly sql: boolean
  readonly database: boolean
}

/** Payload of `admin_state`: topics and connections, as far as they are listed. */
export interface AdminState {
  readonly topics: readonly AdminTopic[]
  readonly connections: readonly AdminConnection[]
  /** How many were left out of the list. */
  readonly moreTopics: number
  readonly moreConnections: number
}

/** A topic with members. */
export interface AdminTopic {
  /** Without the prefix `realtime:`. */
  readonly topic: string
  readonly private: boolean
  readonly members: number
}

/** A socket, and the channels on it. */
export interface AdminConnection {
  readonly id: string
  /** The role of the token that it connected with; `null` when it cannot be read. */
  readonly role: string | null
  /** The claims of that token. */
  readonly claims: JsonObject
  readonly vsn: string
  /** Unix milliseconds. */
  readonly connectedAt: number
  readonly lastHeartbeatAt: number | null
  /** The address of the other end of the socket, which may be a proxy; `null` where it is not known. */
  readonly address: string | null
  /** The name that the client gave in its first request, cut to 200 characters. */
  readonly userAgent: string | null
  /** `role` and `sub` are those of the channel's own token, which may be another user's than that of the connection. */
  readonly channels: readonly {
    readonly topic: string
    readonly private: boolean
    readonly role: string | null
    readonly sub: string | null
  }[]
  /** Messages since it connected. */
  readonly received: number
  readonly sent: number
  /** Bytes that wait to be sent to it. */
  readonly queueBytes: number
  /** Set when it is closed: the close code and its reason. */
  readonly closed?: { readonly code: number; readonly reason: string; readonly at: number }
}

/** Payload of `admin_tick`: the server's health, and the changes since the last one. */
export interface AdminTick {
  /** Unix milliseconds. */
  readonly at: number
  readonly healthy: boolean
  /** A sentence when something is wrong: no database, a feed that waits. */
  readonly trouble: string | null
  readonly connections: number
  readonly channels: number
  /** Messages a second since the last tick. */
  readonly receivedPerSecond: number
  readonly deliveredPerSecond: number
  /** Milliseconds, since the last tick; `null` when nothing was measured. */
  readonly fanOut: LatencySummary | null
  readonly insertToFrame: LatencySummary | null
  readonly feed: { readonly lagBytes: number; readonly lagMs: number } | null
  /** Topics that are new or changed; `members: 0` means gone. */
  readonly topics: readonly AdminTopic[]
  readonly connectionsChanged: readonly AdminConnection[]
}

/** A histogram of one interval: `counts[i]` values were at most `boundsMs[i]`, the last ones were above all bounds. */
export interface LatencySummary {
  readonly p50: number
  readonly p95: number
  readonly boundsMs: readonly number[]
  readonly counts: readonly number[]
}

/** Payload of `admin_log`: the log events since the last one that the inspector asked for. */
export interface AdminLog {
  readonly rows: readonly AdminLogRow[]
  /** Rows that were left out since the last message: more happened than is shown. */
  readonly skipped: number
}

/** A log event. Members that do not belong to its `kind` are absent. */
export interface AdminLogRow {
  /** Rising by one; never given twice by one server. */
  readonly id: number
  /** Unix milliseconds. */
  readonly at: number
  readonly kind: 'broadcast' | 'presence' | 'change' | 'join' | 'leave' | 'connect' | 'disconnect' | 'decision'
  readonly topic?: string
  readonly private?: boolean
  /** The event of a broadcast, `track`/`untrack`, INSERT/UPDATE/DELETE, or the code of a decision. */
  readonly event?: string
  readonly connection?: string
  readonly receivers?: number
  readonly bytes?: number
  /** JSON text; cut when long, and then `truncated` says how many bytes it had. */
  readonly payload?: string
  readonly truncated?: number
  /** A sentence: of a decision, why. */
  readonly detail?: string
}

/** The traffic that an inspector wants to see. */
export interface AdminWatch {
  readonly payloads: boolean
  /** Shows only rows whose topic, event, detail or connection contains this text. */
  readonly match: string
}

/** Response of `admin_topic`: its presences, and the ids of its connections. */
export interface AdminTopicDetail extends AdminTopic {
  readonly presences: readonly {
    readonly key: string
    readonly metas: readonly JsonObject[]
    /** Unix milliseconds of the first track of each meta. */
    readonly since: readonly number[]
  }[]
  readonly connections: readonly string[]
}

/** Response of `admin_table`. */
export interface AdminTable {
  /** The columns in the order of the key; empty: there is no key. */
  readonly primaryKey: readonly KeyColumn[]
}

/** A column of a primary key. */
export interface KeyColumn {
  readonly name: string
  /** As Postgres prints it: `integer`, `character varying(20)`. */
  readonly type: string
}

/** The user in question: an open connection, or a role with claims. */
export type WhyUser = { readonly connection: string } | { readonly role: string; readonly claims: JsonObject }

/** Request of `admin_why`: may this user use a topic, or see a row? */
export type WhyQuestion =
  | { readonly about: 'topic'; readonly user: WhyUser; readonly topic: string; readonly private: boolean }
  | {
      readonly about: 'change'
      readonly user: WhyUser
      readonly schema: string
      readonly table: string
      /** Values of the primary key, as text. */
      readonly key: { readonly [column: string]: string }
      /** A filter to test; without it those of the connection's own channels. */
      readonly filter?: string
    }

/** The checks in the order in which the server makes them. The first that is `no` decided. */
export interface WhyAnswer {
  /** A sentence: the outcome and its cause. */
  readonly verdict: string
  readonly allowed: boolean
  readonly steps: readonly WhyStep[]
}

/** One check and how it came out; `unknown` where it could not be made. */
export interface WhyStep {
  readonly check: 'token' | 'limit' | 'publication' | 'privilege' | 'policy' | 'row' | 'filter' | 'subscription' | 'decision'
  readonly outcome: 'yes' | 'no' | 'unknown'
  readonly text: string
  /** Unix milliseconds: of `token`, when it expires or did; of `limit` and `decision`, when it happened. */
  readonly at?: number
  /** SQL that shows or mends it. */
  readonly sql?: string
}

/** Response of `admin_sql`: values as Postgres prints them, `null` for NULL. `tookMs` is milliseconds, `command` such as `SELECT`. */
export interface AdminSqlResult {
  readonly columns: readonly string[]
  readonly rows: readonly (readonly (string | null)[])[]
  /** Rows that were left out. */
  readonly moreRows: number
  readonly command: string
  readonly tookMs: number
}
