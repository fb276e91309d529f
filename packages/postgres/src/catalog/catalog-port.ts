import type { Filter } from '@tidewire/protocol'
import type { CatalogColumn, PublishedTable, CatalogRole, CatalogTable } from './catalog-table.ts'

/** An answer of Postgres that is the client's to know: `text` names its code, as the reference prints it. */
export type Refusable<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly text: string }

/** A table that is named exactly and not published. `null`: there is none that the role may read, and it learns no more. */
export interface UnpublishedTable {
  readonly publication: string
  readonly table: { readonly name: string; readonly hasPrimaryKey: boolean; readonly hasId: boolean } | null
}

/**
 * What is asked of the catalog. Everything rejects with an error of `pg`: one of {@link isUnreachable} when there is no database
 * to ask.
 */
export interface CatalogPort {
  publishedTables(): Promise<readonly PublishedTable[]>
  /** The table with exactly these names, as far as the role may read it. */
  unpublishedTable(named: { readonly schema: string; readonly table: string }, role: string): Promise<UnpublishedTable>
  role(name: string): Promise<CatalogRole>
  /** Tables that are gone are missing in the answer; there may be more of them, and for more roles, than were asked for. */
  tables(oids: readonly number[], roles: readonly string[]): Promise<ReadonlyMap<number, CatalogTable>>
  /** Checks a filter and answers its values as the column's type writes them. */
  castFilter(filter: Filter, column: CatalogColumn): Promise<Refusable<readonly (string | null)[]>>
  /** Everything that commits from now on has a commit LSN of at least this. */
  insertLsn(): Promise<bigint>
  /** End of the log that is on disk: of everything committed. The stream gets here without another write, which `insertLsn` may wait for. */
  flushLsn(): Promise<bigint>
}
