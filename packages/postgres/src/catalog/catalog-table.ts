import type { ClaimsUse, PolicyScope } from './policy-analysis.ts'

export interface CatalogColumn {
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
  readonly generated: boolean
  /** How SQL names the collation, when it is not the database's own. */
  readonly collation: string | null
  /** Texts that are equal are the same bytes. */
  readonly deterministic: boolean
  /** The roles, among those asked for, that may select it. */
  readonly rolesWithSelect: ReadonlySet<string>
}

/** A published table as the catalog describes it, for some roles. */
export interface CatalogTable {
  readonly oid: number
  readonly schema: string
  readonly name: string
  readonly rowSecurity: boolean
  /** An ordinary table is read without the tables that inherit from it; a partitioned one holds its rows in partitions. */
  readonly partitioned: boolean
  /** The stream has all of an old row, so that policies can be evaluated over it: REPLICA IDENTITY FULL. */
  readonly replicaIdentityFull: boolean
  /** In the order of `attnum`. */
  readonly columns: readonly CatalogColumn[]
  readonly primaryKey: readonly CatalogColumn[]
  readonly claims: ClaimsUse
  /** By role: a uuid column that equals `sub` in all rows that the role may see. */
  readonly ownerColumns: ReadonlyMap<string, string>
  /** By role, of those asked for that exist. */
  readonly roles: ReadonlyMap<string, TableRole>
  /** The tables and functions that the policies reach, the table itself among them. */
  readonly reach: PolicyReach
}

export interface TableRole {
  /**
   * The policy version: changes whenever something does that could show the role fewer rows, columns or tables. A check
   * compares it; on a difference the entry is loaded again.
   */
  readonly version: string
  /** The role and all roles that it is a member of, by oid. */
  readonly groups: readonly number[]
  /** Without it SQL refuses the table, whatever was granted on it. */
  readonly usesSchema: boolean
  /** Versions of the table's rows have a `ctid` each, and the role may select it, which column grants do not allow. */
  readonly readsCtid: boolean
  readonly superuser: boolean
  readonly bypassesRowSecurity: boolean
  readonly scope: PolicyScope
}

export interface PolicyReach {
  readonly tables: readonly number[]
  readonly functions: readonly number[]
}

export interface CatalogRole {
  readonly name: string
  readonly exists: boolean
  /** Tokens may take it: it is neither a superuser nor the server's own login, which may become it. */
  readonly allowed: boolean
  readonly bypassesRowSecurity: boolean
}

export interface TableName {
  readonly schema: string
  readonly name: string
}

export interface PublishedTable extends TableName {
  readonly oid: number
}
