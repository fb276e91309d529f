import type { Filter } from '@tidewire/protocol'
import type { Lsn } from '../replication/lsn.ts'
import type { Table } from '../replication/table.ts'
import type { CheckIdentity } from '../catalog/identity.ts'
import type { EntryColumn, PublishedTable, RoleFacts, TableEntry } from '../catalog/table-entry.ts'

/** An answer of Postgres that is the client's to know: `text` names its code, as the reference prints it. */
export type Refusable<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly text: string }

/** A table that is named exactly and not published. `null`: there is none that the role may read, and it is told no more. */
export interface UnpublishedTable {
  readonly publication: string
  readonly table: { readonly name: string; readonly hasPrimaryKey: boolean } | null
}

/** Rows that identities want to see, all of one table and one role. */
export interface RowCheck {
  readonly entry: TableEntry
  readonly role: string
  /** By row, the texts of the primary key. */
  readonly keys: readonly (readonly string[])[]
  readonly identities: readonly { readonly identity: CheckIdentity; readonly rows: readonly number[] }[]
  /** The transactions that wrote the changes; nothing is looked at before all of them can be seen. */
  readonly xids: readonly number[]
  /** They are waited for, for some seconds; else only for a moment. Rejects with `UnseenTransactions` after that. */
  readonly waits: boolean
  /** The transactions that last wrote the rows are wanted as well. */
  readonly withXmin: boolean
}

/** Deleted rows that identities could see, all of one table and one role. */
export interface OldRowCheck {
  readonly entry: TableEntry
  readonly role: string
  /** Each as the text of a value of the table's row type. */
  readonly rows: readonly string[]
  readonly identities: RowCheck['identities']
  readonly xids: readonly number[]
  readonly waits: boolean
}

export type IdentityAnswer =
  /** Row numbers with, if wanted, the xid that wrote the row; 0 else. */
  | {
      readonly ok: true
      readonly visible: ReadonlyMap<number, number>
      /** The policies failed for some of the rows. */
      readonly fault?: string
    }
  /** The policies failed for this identity, or took too long. */
  | { readonly ok: false; readonly message: string; readonly timedOut: boolean }

export interface CheckAnswer {
  /** False: policies have changed since the entry was loaded, and nothing of the answer may be used. */
  readonly current: boolean
  /** In the order of the request. */
  readonly identities: readonly IdentityAnswer[]
}

/** Texts of a type that brings its own cast to JSON. */
export interface CastQuestion {
  /** As SQL calls it: qualified and quoted. */
  readonly typeSql: string
  /** Of whoever is told, or of one of them. */
  readonly role: string
  readonly texts: readonly string[]
}

/** Generated columns that are to be made from what the stream told of rows. */
export interface GeneratedQuestion {
  readonly table: Table
  /** Of whoever is told, or of one of them. */
  readonly role: string
  readonly columns: readonly string[]
  /** By row, the texts of all columns that the table still has, in their order; `undefined`: not known. */
  readonly rows: readonly (readonly (string | null | undefined)[])[]
}

/** The texts of a row's primary key, and the transaction that wrote it. */
export interface WrittenRow {
  readonly key: readonly string[]
  readonly xid: number
}

/** Texts of one column to be held against filters of one kind. */
export interface FilterCheck {
  readonly column: EntryColumn
  readonly op: Filter['op']
  readonly negate: boolean
  /** By filter: its value, or the values of `in`. */
  readonly operands: readonly (readonly (string | null)[])[]
  readonly texts: readonly (string | null)[]
}

export type FilterAnswer = { readonly ok: true; readonly matches: ReadonlySet<number> } | { readonly ok: false; readonly message: string }

/**
 * What the feed asks of Postgres. Everything rejects with an error of `pg` when there is no database to ask; the feed
 * then waits and asks again.
 */
export interface FeedDatabase {
  publishedTables(): Promise<readonly PublishedTable[]>
  /** The table with exactly these names, as far as the role may read it. */
  unpublishedTable(named: { readonly schema: string; readonly table: string }, role: string): Promise<UnpublishedTable>
  role(name: string): Promise<RoleFacts>
  /** Tables that are gone are missing in the answer; there may be more of them, and for more roles, than were asked for. */
  tables(oids: readonly number[], roles: readonly string[]): Promise<ReadonlyMap<number, TableEntry>>
  /** Checks a filter and answers its values as the column's type writes them. */
  castFilter(filter: Filter, column: EntryColumn): Promise<Refusable<readonly (string | null)[]>>
  /** By filter, the numbers of the texts for which it is true. */
  testFilters(check: FilterCheck): Promise<readonly FilterAnswer[]>
  checkRows(check: RowCheck): Promise<CheckAnswer>
  checkOldRows(check: OldRowCheck): Promise<CheckAnswer>
  /** What `to_jsonb` makes of the texts, in their order; `undefined` of those for which it fails. */
  jsonOf(question: CastQuestion): Promise<readonly (string | undefined)[]>
  /**
   * JSON texts of generated columns, by row and column name, as they follow from the rows. Those are missing that read what
   * is not known, and that fail.
   */
  computed(question: GeneratedQuestion): Promise<ReadonlyMap<number, ReadonlyMap<string, string>>>
  /**
   * JSON texts of generated columns, by row and column name, of those rows that are still as the transaction `xid` wrote
   * them. Empty where the server's own login may not read them.
   */
  generated(
    entry: TableEntry,
    columns: readonly string[],
    rows: readonly WrittenRow[],
  ): Promise<ReadonlyMap<number, ReadonlyMap<string, string>>>
  /** Everything that commits from now on has a commit LSN of at least this. */
  insertLsn(): Promise<Lsn>
}
