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
  readonly table: { readonly name: string; readonly hasPrimaryKey: boolean; readonly hasId: boolean } | null
}

/** Texts of a row's columns, in the order of the `columns` that they go with; `undefined`: not known. */
export type RowTexts = readonly (string | null | undefined)[]

/** Rows that identities want to see, all of one table and one role. */
export interface RowCheck {
  readonly entry: TableEntry
  readonly role: string
  /** By row, the texts of the primary key. */
  readonly keys: readonly (readonly string[])[]
  /** The published columns, by `attnum`. */
  readonly columns: readonly number[]
  /** By row, the image: what the change wrote to `columns`. `undefined`: the stream did not carry the value. */
  readonly images: readonly RowTexts[]
  readonly identities: readonly { readonly identity: CheckIdentity; readonly rows: readonly number[] }[]
  /** The transactions that wrote the changes; no row is read before all of them are visible. */
  readonly xids: readonly number[]
  /** They are waited for, for some seconds; else only for a moment. Rejects with `UnseenTransactions` after that. */
  readonly waits: boolean
}

/** Old rows (deleted ones, or an UPDATE's) that identities could see, all of one table and one role. */
export interface OldRowCheck {
  readonly entry: TableEntry
  readonly role: string
  /** Each as the text of a value of the table's row type. */
  readonly rows: readonly string[]
  readonly identities: RowCheck['identities']
  readonly xids: readonly number[]
  readonly waits: boolean
}

/** What of a row an identity may get. */
export type Grant =
  /** The content that the change brought. */
  | 'image'
  /** The key alone. Of a new row: marked `superseded`. */
  | 'key'
  /**
   * The row as the check read it, since it is no longer the one that the change wrote: `RowCheck.columns` as texts,
   * `undefined` where the role may not select one. Marked `superseded`; where the filters do not match it, its key alone.
   */
  | { readonly current: RowTexts }

export type IdentityAnswer =
  /** By row number. A row that is not in it is denied. */
  | {
      readonly ok: true
      readonly visible: ReadonlyMap<number, Grant>
      /** The policies failed for some of the rows. */
      readonly fault?: string
    }
  /** The policies failed for this identity, or took too long. */
  | { readonly ok: false; readonly message: string; readonly timedOut: boolean }

export interface CheckAnswer {
  /** False: the policy version is no longer that of the entry, and nothing of the answer may be used. */
  readonly current: boolean
  /** In the order of the request. */
  readonly identities: readonly IdentityAnswer[]
}

/** Entries of whose rows something is delivered without a {@link RowCheck}, by the privileges that they remember. */
export interface VersionCheck {
  readonly pairs: readonly { readonly entry: TableEntry; readonly role: string }[]
  readonly xids: RowCheck['xids']
  readonly waits: boolean
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
  /** Grants are `image` or `key`. */
  checkOldRows(check: OldRowCheck): Promise<CheckAnswer>
  /** By pair, whether the policy version is still that of the entry. Rejects as `checkRows` does. */
  checkVersions(check: VersionCheck): Promise<readonly boolean[]>
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
