import { RealtimeError, type FilterOperator } from '@tidewire/protocol'
import type { UntypedRow } from './untyped.ts'

/** The operators of a filter, as they stand in its text: `id=eq.1`. */
export type RealtimePostgresChangesFilterOperator = FilterOperator

type Scalar = string | number | boolean | null
type IsValue = null | boolean | 'null' | 'true' | 'false' | 'unknown'

type Column<Row> = keyof Row & string
/** Columns whose values are text, as far as the row says. */
type TextColumn<Row> = { [Name in Column<Row>]: string extends NonNullable<Row[Name]> ? Name : never }[Column<Row>]
type Value<Row, Name extends keyof Row> = Extract<Row[Name], Scalar> | null
type ListValue<Row, Name extends keyof Row> = Exclude<Extract<Row[Name], Scalar>, null>

/** Builds the text of a filter, condition by condition; all of them must hold. Values are quoted where they need to be. */
export class RealtimePostgresFilterBuilder<Row extends object = UntypedRow> {
  readonly #conditions: string[] = []

  eq<Name extends Column<Row>>(column: Name, value: Value<Row, Name>): this {
    return this.#add(column, 'eq', quoted(value))
  }

  neq<Name extends Column<Row>>(column: Name, value: Value<Row, Name>): this {
    return this.#add(column, 'neq', quoted(value))
  }

  gt<Name extends Column<Row>>(column: Name, value: Value<Row, Name>): this {
    return this.#add(column, 'gt', quoted(value))
  }

  gte<Name extends Column<Row>>(column: Name, value: Value<Row, Name>): this {
    return this.#add(column, 'gte', quoted(value))
  }

  lt<Name extends Column<Row>>(column: Name, value: Value<Row, Name>): this {
    return this.#add(column, 'lt', quoted(value))
  }

  lte<Name extends Column<Row>>(column: Name, value: Value<Row, Name>): this {
    return this.#add(column, 'lte', quoted(value))
  }

  /** One of these. Throws without any: nothing would match. */
  in<Name extends Column<Row>>(column: Name, values: readonly ListValue<Row, Name>[]): this {
    return this.#add(column, 'in', list(values))
  }

  /** `%` and `_` stand for any text and any character. */
  like(column: TextColumn<Row>, pattern: string): this {
    return this.#add(column, 'like', quoted(pattern))
  }

  ilike(column: TextColumn<Row>, pattern: string): this {
    return this.#add(column, 'ilike', quoted(pattern))
  }

  /** A POSIX regular expression. */
  match(column: TextColumn<Row>, pattern: string): this {
    return this.#add(column, 'match', quoted(pattern))
  }

  imatch(column: TextColumn<Row>, pattern: string): this {
    return this.#add(column, 'imatch', quoted(pattern))
  }

  is(column: Column<Row>, value: IsValue): this {
    return this.#add(column, 'is', String(value))
  }

  /** As `neq`, with null a value like any other. */
  isDistinct<Name extends Column<Row>>(column: Name, value: Value<Row, Name>): this {
    return this.#add(column, 'isdistinct', quoted(value))
  }

  not<Name extends Column<Row>>(column: Name, operator: 'in', values: readonly ListValue<Row, Name>[]): this
  not(column: Column<Row>, operator: 'is', value: IsValue): this
  not<Name extends Column<Row>>(column: Name, operator: Exclude<FilterOperator, 'in' | 'is'>, value: Value<Row, Name>): this
  not(column: string, operator: FilterOperator, value: Scalar | readonly Scalar[]): this {
    return this.#add(column, `not.${operator}`, operator === 'in' ? list(value as readonly Scalar[]) : quoted(value as Scalar))
  }

  /** The filter's text; empty when there is no condition. */
  build(): string {
    return this.#conditions.join(',')
  }

  toString(): string {
    return this.build()
  }

  #add(column: string, operator: string, value: string): this {
    this.#conditions.push(`${column}=${operator}.${value}`)
    return this
  }
}

/** Begins a filter: `postgresChangesFilter<Todo>().eq('done', false).lt('id', 100)`. It is given as `filter` as it is. */
export function postgresChangesFilter<Row extends object = UntypedRow>(): RealtimePostgresFilterBuilder<Row> {
  return new RealtimePostgresFilterBuilder<Row>()
}

function list(values: readonly Scalar[]): string {
  if (values.length === 0) throw new RealtimeError('bad-argument', 'Realtime `in` filter requires at least one value.')
  return `(${[...new Set(values)].map((value) => quoted(value, typeof value === 'string' ? /[{}]|^$|^null$/i : undefined)).join(',')})`
}

/** Lists are array literals to the server, where braces, nothing at all and the word null mean something. */
function quoted(value: Scalar, special?: RegExp): string {
  const text = String(value)
  return /[,()"\\]|^\s|\s$/.test(text) || special?.test(text) === true ? `"${text.replace(/["\\]/g, '\\$&')}"` : text
}
