import type { UntypedRow } from './payloads.ts'

/** A database without a description. */
export interface UntypedDatabase {
  readonly untyped: true
}

/** The schemas of a database, without the generator's own notes. */
export type SchemaOf<Database> = Database extends UntypedDatabase ? string : Exclude<keyof Database & string, `__${string}`>

type Tables<Database, Schema> = Schema extends keyof Database ? (Database[Schema] extends { Tables: infer All } ? All : never) : never

/** The tables of a schema, by name; any text where the database is not described. */
export type TableOf<Database, Schema> = Database extends UntypedDatabase ? string : keyof Tables<Database, Schema> & string

/** The row of a table; of any table of the schema when none is named. */
export type RowOf<Database, Schema, Table> = Database extends UntypedDatabase
  ? UntypedRow
  : Tables<Database, Schema>[Table & keyof Tables<Database, Schema>] extends { Row: infer Row extends object }
    ? Row
    : UntypedRow
