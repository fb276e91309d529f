import { isJsonObject, nameMatches, parseFilter, splitConditions, type Filter } from '@tidewire/protocol'
import { inspect, inspectable, type Inspectable } from '../explain/inspect-text.ts'

export type ChangeAction = 'INSERT' | 'UPDATE' | 'DELETE'

/** What one entry of a join asks for. Names may be patterns: `*` stands for all, `%` and `_` as in LIKE (rule D1). */
export interface ChangeEntry {
  readonly id: number
  readonly event: ChangeAction | '*'
  readonly schema: string
  readonly table: string
  readonly filters: readonly Filter[]
  /** `null`: all columns. */
  readonly select: readonly string[] | null
}

/** `message` is the reference's text for the client. */
export type ParsedEntry = { readonly ok: true; readonly entry: ChangeEntry } | { readonly ok: false; readonly message: string }

/** Reads an entry as it came from a client. */
export function parseChangeEntry(id: number, json: unknown): ParsedEntry {
  const names = readNames(json)
  if (names === null || !isJsonObject(json)) return refuse(`${NO_PARAMS} ${inspect(inspectable(json))}`)
  const event = readEvent(json['event'])
  const filterText = typeof json['filter'] === 'string' ? json['filter'] : ''
  const select = readSelect(json['select'])
  if (select === undefined)
    return refuse('Error parsing `select` params: expected a list of column name strings, e.g. select: ["col1", "col2"]')
  const parsed = parseFilter(filterText)
  if (!parsed.ok) {
    if (parsed.code !== 'too-many-values' && parsed.code !== 'malformed-list')
      return refuse(`Error parsing \`filter\` params: ${parsed.detail}`)
    const shown = describeRequest({ event, ...names, filters: { list: rawListFilters(filterText) }, select })
    const fault = parsed.code === 'too-many-values' ? RAISED : 'ERROR 22P02 (invalid_text_representation)'
    return refuse(`${exceptionText(shown)} ${fault} ${parsed.detail}`)
  }
  if (select !== null && (names.schema === '*' || names.table === '*')) return refuse(NO_WILDCARD_SELECT)
  return { ok: true, entry: { id, event, ...names, filters: parsed.filters, select } }
}

/** No published table has the name (rule D7). */
export function notPublishedText(entry: ChangeEntry): string {
  return `Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given connect parameters: ${describeEntry(entry)}`
}

/** The database refused the entry. `fault` is what it said, with its code in front. */
export function refusedText(entry: ChangeEntry, fault: string): string {
  return `${exceptionText(describeEntry(entry))} ${fault}`
}

export const RAISED = 'ERROR P0001 (raise_exception)'

const NO_PARAMS = 'No subscription params provided. Please provide at least a `schema` or `table` to subscribe to:'
const NO_WILDCARD_SELECT = 'Column selection is not supported for wildcard subscriptions. Provide an explicit schema and table name.'

function exceptionText(shown: string): string {
  return `Unable to subscribe to changes with given parameters. An exception happened so please check your connect parameters: ${shown}. Exception:`
}

function describeEntry({ event, schema, table, filters, select }: ChangeEntry): string {
  return describeRequest({ event, schema, table, filters: { list: filters.map(showFilter) }, select })
}

function describeRequest(request: {
  readonly event: string
  readonly schema: string
  readonly table: string
  readonly filters: Inspectable
  readonly select: readonly string[] | null
}): string {
  const { event, schema, table, filters, select } = request
  const shownSelect = inspect(select === null ? null : { list: select })
  return `[event: ${event}, schema: ${schema}, table: ${table}, filters: ${inspect(filters)}, select: ${shownSelect}]`
}

function showFilter(filter: Filter): Inspectable {
  return { tuple: [filter.column, filter.op, filter.op === 'in' ? arrayLiteral(filter.value) : filter.value, filter.negate] }
}

/** The list as the text of a Postgres array. */
export function arrayLiteral(values: readonly (string | null)[]): string {
  return `{${values.map((value) => (value === null ? 'NULL' : /^[^\s{}",\\]+$/.test(value) && !/^null$/i.test(value) ? value : quoteElement(value))).join(',')}}`
}

function quoteElement(value: string): string {
  return `"${value.replace(/["\\]/g, '\\$&')}"`
}

/** The lists of a filter that could not be read, as far as they can be told apart. */
function rawListFilters(text: string): Inspectable[] {
  return splitConditions(text).flatMap((condition) => {
    const [, column, not, list] = /^([^=]+)=(not\.)?in\.\(([^)]*)\)/.exec(condition.trim()) ?? []
    return column === undefined ? [] : [{ tuple: [column, 'in', `{${list}}`, not !== undefined] }]
  })
}

function readNames(json: unknown): { readonly schema: string; readonly table: string } | null {
  if (!isJsonObject(json)) return null
  const { schema, table, filter } = json
  const text = (value: unknown): value is string => typeof value === 'string'
  if ('filter' in json && !(text(schema) && text(table) && text(filter))) return null
  if ('table' in json && !text(table)) return null
  if ('schema' in json && !text(schema)) return null
  if (!text(schema) && !text(table)) return null
  return { schema: text(schema) ? schema : 'public', table: text(table) ? table : '*' }
}

function readEvent(json: unknown): ChangeAction | '*' {
  const event = typeof json === 'string' ? json.toUpperCase() : ''
  return event === 'INSERT' || event === 'UPDATE' || event === 'DELETE' ? event : '*'
}

/** `undefined`: not a list of names. */
function readSelect(json: unknown): readonly string[] | null | undefined {
  if (json === undefined || json === null) return null
  if (!Array.isArray(json)) return undefined
  const names = json as unknown[]
  if (!names.every((name): name is string => typeof name === 'string')) return undefined
  return names.length === 0 ? null : names
}

function refuse(message: string): ParsedEntry {
  return { ok: false, message }
}

/** The tables that an entry names (rule D1). A name that a table, or a schema, has exactly is no pattern. */
export function tablesOf<T extends TableName>(
  { schema, table }: Pick<ChangeEntry, 'schema' | 'table'>,
  tables: readonly T[],
): readonly T[] {
  const inSchema = named(schema, tables, (each) => each.schema)
  return named(table, inSchema, (each) => each.name)
}

export interface TableName {
  readonly schema: string
  readonly name: string
}

function named<T>(pattern: string, tables: readonly T[], nameOf: (table: T) => string): readonly T[] {
  const exact = pattern === '*' ? [] : tables.filter((table) => nameOf(table) === pattern)
  return exact.length > 0 ? exact : tables.filter((table) => nameMatches(pattern, nameOf(table)))
}
