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

/**
 * Says why a user does or does not get something, check by check, as that identity, without leaving anything behind.
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

/** Runs SQL for the inspector of a developer's machine, never as a superuser, bounded in rows and time. Never rejects. */
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
