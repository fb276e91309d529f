/** The kinds of row change; TRUNCATE is not delivered (rule D9). */
export type ChangeType = 'INSERT' | 'UPDATE' | 'DELETE'

/** One entry of `config.postgres_changes` in a join, as sent; the reply echoes it with an `id` (rule D2). */
export interface PostgresChangesEntry {
  readonly event?: ChangeType | '*'
  readonly schema?: string
  readonly table?: string
  /** `column=[not.]op.value`, several joined by commas (rule F1). */
  readonly filter?: string
  /** Columns to send; the primary key always comes along. */
  readonly select?: readonly string[]
}

/** A column of the table, as the message of a change names it. */
export interface ChangeColumn {
  readonly name: string
  /** The type's name in `pg_type`, such as `int4` or `_text`. */
  readonly type: string
}

/** `data` of a `postgres_changes` message. `record` is absent for DELETE, `old_record` for INSERT. */
export interface ChangeData {
  readonly type: ChangeType
  readonly schema: string
  readonly table: string
  /** ISO 8601, UTC, milliseconds; null in error rows. */
  readonly commit_timestamp: string | null
  readonly columns: readonly ChangeColumn[]
  readonly record?: { readonly [column: string]: unknown }
  readonly old_record?: { readonly [column: string]: unknown }
  readonly errors: readonly string[] | null
  /** `epoch/commitLsn/seq`, with `!` at its end while changes are withheld from the channel; only for channels that asked for positions. */
  readonly position?: string
}

/** Payload of a `postgres_changes` message: `ids` are those of the join reply whose entries matched. */
export interface PostgresChangesPayload {
  readonly ids: readonly number[]
  readonly data: ChangeData
}
