import type { AdminSqlResult, AdminTable, WhyStep } from '@tidewire/protocol'
import type { Identity, TokenVerifier } from './auth.ts'

/** An identity that is asked about, with the name of the topic that it would see in `realtime.topic()`. */
export interface ExplainTopic {
  readonly subTopic: string
  readonly identity: Identity
}

/** The question whether a user would get a row. */
export interface ExplainChange {
  readonly identity: Identity
  readonly schema: string
  readonly table: string
  /** Values of the primary key, as text; hostile input like the rest. */
  readonly key: Readonly<Record<string, string>>
  /** Filters of subscriptions, as they were asked for. */
  readonly filters: readonly string[]
}

/** The schema and the table of an entry of a join, which may be patterns, or those of one table. */
export interface TableNames {
  readonly schema: string
  readonly table: string
}

/**
 * Explains why a user does or does not get a message or row, check by check, as that identity; writes nothing.
 * For admins only: answers name policies. Never rejects: what cannot be found out is a step `unknown`.
 */
export interface Explainer {
  topic(question: ExplainTopic): Promise<readonly WhyStep[]>
  change(question: ExplainChange): Promise<readonly WhyStep[]>
  /** The primary key of a table, published or not. */
  table(schema: string, table: string): Promise<ExplainedTable>
  /** The entries that name the table (rule D1): a name that a published table, or its schema, has exactly is no pattern. */
  entriesNaming?<Entry extends TableNames>(entries: readonly Entry[], table: TableNames): Promise<readonly Entry[]>
}

/** The primary key of a table, or a sentence that says why there is none. */
export type ExplainedTable = { readonly ok: true; readonly answer: AdminTable } | { readonly ok: false; readonly reason: string }

/** Runs SQL for the inspector of a developer's machine, never as a superuser, bounded in rows and time. Never rejects. */
export interface AdminSql {
  run(sql: string): Promise<{ readonly ok: true; readonly result: AdminSqlResult } | { readonly ok: false; readonly reason: string }>
}

/** The ports of the inspector. */
export interface AdminPorts {
  /** Verifies admin keys. */
  readonly verifier: TokenVerifier
  /** The version of the program, for people. */
  readonly version: string
  readonly explainer?: Explainer | null
  readonly sql?: AdminSql | null
}
