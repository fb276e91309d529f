import type { ClaimsUse } from './policy-analysis.ts'

export interface EntryColumn {
  readonly name: string
  /** `attnum`. */
  readonly number: number
  readonly typeOid: number
  /** The type that a domain stands on; else the type itself. */
  readonly baseOid: number
  readonly typeName: string
  /** As SQL calls it: qualified, quoted, without length. */
  readonly typeSql: string
  /** `pg_type.typcategory` of the base type: `S` for texts. */
  readonly category: string
  readonly isEnum: boolean
  /** How SQL names the collation, when it is not the database's own. */
  readonly collation: string | null
  /** Texts that are equal are the same bytes. */
  readonly deterministic: boolean
  /** The roles, among those asked for, that may select it. */
  readonly readers: ReadonlySet<string>
}

/** What the catalog says of a published table, for some roles. */
export interface TableEntry {
  readonly oid: number
  readonly schema: string
  readonly name: string
  readonly rowSecurity: boolean
  /** The roles, among those asked for, that may select all of it; others may no columns, or some. */
  readonly readers: ReadonlySet<string>
  /** The stream has all of a deleted row, so that policies can be held against it: REPLICA IDENTITY FULL. */
  readonly wholeOldRows: boolean
  /** In the order of `attnum`. */
  readonly columns: readonly EntryColumn[]
  readonly primaryKey: readonly EntryColumn[]
  /** Which claims the policies may read. */
  readonly claims: ClaimsUse
  /** By role: a uuid column that equals `sub` in all rows that the role may see. */
  readonly ownerColumns: ReadonlyMap<string, string>
  /** Tables and functions that this was found from, and what they looked like. */
  readonly evidence: Evidence
}

/** What a check must still find unchanged when it is done. */
export interface Evidence {
  readonly tables: readonly number[]
  readonly functions: readonly number[]
  readonly fingerprint: string
}

export interface RoleFacts {
  readonly name: string
  readonly exists: boolean
  /** Tokens may take it: it is neither a superuser nor the server's own login, which may become it. */
  readonly allowed: boolean
  readonly bypassesRowSecurity: boolean
}

export interface PublishedTable {
  readonly oid: number
  readonly schema: string
  readonly name: string
}
