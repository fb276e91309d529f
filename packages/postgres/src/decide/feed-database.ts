import type { Filter } from '@tidewire/protocol'
import type { CatalogPort } from '../catalog/catalog-port.ts'
import type { RowTexts } from '../replication/change-row.ts'
import type { Table } from '../replication/table.ts'
import type { CheckIdentity } from '../catalog/identity.ts'
import type { CatalogColumn, CatalogTable } from '../catalog/catalog-table.ts'

/** Rows that identities want to see, all of one table and one role. */
export interface RowCheck {
  readonly table: CatalogTable
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
  /** Whether the check waits for those transactions for seconds; else for milliseconds. Rejects with `NotYetVisible` after that. */
  readonly waits: boolean
}

/** Old rows (deleted ones, or an UPDATE's) that identities could see, all of one table and one role. */
export interface OldRowCheck {
  readonly table: CatalogTable
  readonly role: string
  /** Each as the text of a value of the table's row type. */
  readonly rows: readonly string[]
  readonly identities: RowCheck['identities']
  readonly xids: readonly number[]
  readonly waits: boolean
}

/** How much of a row an identity may get. */
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
  /** False: the policy version is no longer that of the table, and nothing of the answer may be used. */
  readonly current: boolean
  /** In the order of the request. */
  readonly identities: readonly IdentityAnswer[]
  /** The policies took longer than they do as a rule. */
  readonly slow?: boolean
}

/** Tables and roles whose rows are delivered without a {@link RowCheck}, by remembered privileges: their policy version is compared. */
export interface VersionCheck {
  readonly pairs: readonly { readonly table: CatalogTable; readonly role: string }[]
  readonly xids: RowCheck['xids']
  readonly waits: boolean
}

/** Texts of a type that brings its own cast to JSON. */
export interface CastQuestion {
  readonly typeOid: number
  /** As SQL called it when the table was described: qualified and quoted. */
  readonly typeSql: string
  /** The role of one of the subscribers. */
  readonly role: string
  readonly texts: readonly string[]
}

/** Generated columns that are to be computed from what the log holds of rows. */
export interface GeneratedQuestion {
  readonly table: Table
  /** The role of one of the subscribers. */
  readonly role: string
  readonly columns: readonly string[]
  /** By row, the texts of all columns that the table still has, in their order; `undefined`: not known. */
  readonly rows: readonly (readonly (string | null | undefined)[])[]
}

/** The texts of a row's primary key and of its published columns, by `attnum`, and the transaction that wrote it. */
export interface WrittenRow {
  readonly key: readonly string[]
  readonly published: ReadonlyMap<number, string | null>
  readonly xid: number
}

/** Texts of one column, and the filters of one operator that they are tested with. */
export interface FilterCheck {
  readonly column: CatalogColumn
  readonly op: Filter['op']
  readonly negate: boolean
  /** By filter: its value, or the values of `in`. */
  readonly operands: readonly (readonly (string | null)[])[]
  readonly texts: readonly (string | null)[]
}

export type FilterAnswer =
  | { readonly ok: true; readonly matches: ReadonlySet<number> }
  | { readonly ok: false; readonly message: string; readonly timedOut?: boolean }

/** Questions about rows. All reject with an error of `pg`, as the catalog does. */
export interface RowChecks {
  /** By filter, the numbers of the texts for which it is true. */
  testFilters(check: FilterCheck): Promise<readonly FilterAnswer[]>
  checkRows(check: RowCheck): Promise<CheckAnswer>
  /** Grants are `image` or `key`. */
  checkOldRows(check: OldRowCheck): Promise<CheckAnswer>
  /** By pair, whether the policy version is still that of the table. Rejects as `checkRows` does. */
  checkVersions(check: VersionCheck): Promise<readonly boolean[]>
  /** The result of `to_json` for each text, in their order; `undefined` where it fails. */
  jsonOf(question: CastQuestion): Promise<readonly (string | undefined)[]>
  /**
   * JSON texts of generated columns, by row and column name, computed from the given values. Columns that need an
   * unknown value, or fail, are left out.
   */
  computed(question: GeneratedQuestion): Promise<ReadonlyMap<number, ReadonlyMap<string, string>>>
  /**
   * JSON texts of generated columns, by row and column name, of those rows that are still as the change wrote
   * them. Empty where the server's own login may not read them.
   */
  generated(
    table: CatalogTable,
    columns: readonly string[],
    rows: readonly WrittenRow[],
  ): Promise<ReadonlyMap<number, ReadonlyMap<string, string>>>
}

/** What the feed asks of Postgres. */
export interface FeedDatabase {
  readonly catalog: CatalogPort
  readonly checks: RowChecks
  /**
   * The same checks on sessions of their own, for what may take long. On the others, identities that take too long together
   * are all answered as timed out; here each is asked about by itself.
   */
  readonly isolated: RowChecks
}
