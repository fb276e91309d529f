import {
  isJsonObject,
  nameMatches,
  parseFilter,
  splitConditions,
  type ChangesFault,
  type ChangesFaultCode,
  type Filter,
} from '@tidewire/protocol'
import type { PublishedTable, TableName } from '../../catalog/catalog-table.ts'
import { getOrMake } from '../../catalog/multimap.ts'
import { inspect, inspectable, type Inspectable } from './inspect-text.ts'

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

/** A message for a channel, and how to mend the cause. */
export interface Notice {
  readonly message: string
  readonly fault: ChangesFault
}

/** Why a subscription is refused: `message` is the reference's text for the client. */
export interface EntryRefusal extends Notice {
  readonly ok: false
}

export type ParsedEntry = { readonly ok: true; readonly entry: ChangeEntry } | EntryRefusal

/** Parses the entries. The first invalid one refuses the request, and the rest is not read; an empty list is refused, too. */
export function parseChangeEntries(requested: readonly { readonly id: number; readonly entry: unknown }[]): {
  readonly entries: readonly ChangeEntry[]
  readonly refusal: EntryRefusal | null
} {
  const entries: ChangeEntry[] = []
  for (const { id, entry } of requested) {
    if (entry === null) continue
    const parsed = parseChangeEntry(id, entry)
    if (!parsed.ok) return { entries, refusal: parsed }
    entries.push(parsed.entry)
  }
  return { entries, refusal: entries.length === 0 ? NO_ENTRY : null }
}

export function parseChangeEntry(id: number, json: unknown): ParsedEntry {
  const names = readNames(json)
  if (names === null || !isJsonObject(json))
    return refuse('invalid-entry', `${NO_PARAMS} ${inspect(inspectable(json))}`, 'Name a schema, a table, or both, as text.')
  const event = readEvent(json['event'])
  const filterText = typeof json['filter'] === 'string' ? json['filter'] : ''
  const select = readSelect(json['select'])
  if (select === undefined)
    return refuse(
      'invalid-select',
      'Error parsing `select` params: expected a list of column name strings, e.g. select: ["col1", "col2"]',
      'Give `select` as an array of column names.',
    )
  const parsed = parseFilter(filterText)
  if (!parsed.ok) {
    if (parsed.code !== 'too-many-values' && parsed.code !== 'malformed-list')
      return refuse('invalid-filter', `Error parsing \`filter\` params: ${parsed.detail}`, FILTER_HINT)
    const shown = describeRequest({ event, ...names, filters: { list: rawListFilters(filterText) }, select })
    const fault = parsed.code === 'too-many-values' ? RAISED : 'ERROR 22P02 (invalid_text_representation)'
    return refuse('invalid-filter', `${exceptionText(shown)} ${fault} ${parsed.detail}`, FILTER_HINT)
  }
  if (select !== null && (names.schema === '*' || names.table === '*'))
    return refuse('invalid-select', NO_WILDCARD_SELECT, 'Name one schema and one table, or leave `select` out.')
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

const FILTER_HINT = 'Write a filter as `column=operator.value`, several joined by commas: `id=eq.1`, `state=in.(open,done)`.'

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

export function arrayLiteral(values: readonly (string | null)[]): string {
  return `{${values.map((value) => (value === null ? 'NULL' : /^[^\s{}",\\]+$/.test(value) && !/^null$/i.test(value) ? value : quoteElement(value))).join(',')}}`
}

/** JSON escapes quotes and backslashes alike, and is written many times faster. Control characters and surrogates it writes in its own way. */
function quoteElement(value: string): string {
  return /[^ -\ud7ff\ue000-\uffff]/.test(value) ? `"${value.replace(/["\\]/g, '\\$&')}"` : JSON.stringify(value)
}

/** The lists of a filter that could not be read, as far as they can be separated. */
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

/** What a join without any entry is refused with (rule D7). */
const NO_ENTRY: EntryRefusal = refuse('invalid-entry', `${NO_PARAMS} nil`, 'Name a schema, a table, or both, as text.')

function refuse(code: ChangesFaultCode, message: string, hint: string): EntryRefusal {
  return { ok: false, message, fault: { code, hint } }
}

/** The tables that an entry names (rule D1). A name that a table, or a schema, has exactly is no pattern. */
export function tablesOf<T extends TableName>(
  { schema, table }: Pick<ChangeEntry, 'schema' | 'table'>,
  tables: readonly T[],
): readonly T[] {
  const inSchema = named(schema, tables, (each) => each.schema)
  return named(table, inSchema, (each) => each.name)
}

const oidsOfNames = new WeakMap<readonly PublishedTable[], Map<string, ReadonlySet<number>>>()

/** The same for many entries: the oids, found out once for entries that name the same. */
export function oidsBy(tables: readonly PublishedTable[]): (entry: Pick<ChangeEntry, 'schema' | 'table'>) => ReadonlySet<number> {
  const known = getOrMake(oidsOfNames, tables, () => new Map<string, ReadonlySet<number>>())
  return (entry) => getOrMake(known, `${entry.schema}\0${entry.table}`, () => new Set(tablesOf(entry, tables).map(({ oid }) => oid)))
}

/** Whether the entry may name the table; another one of exactly this name may take precedence. */
export function mayName({ schema, table }: Pick<ChangeEntry, 'schema' | 'table'>, of: TableName): boolean {
  return nameMatches(schema, of.schema) && nameMatches(table, of.name)
}

function named<T>(pattern: string, tables: readonly T[], nameOf: (table: T) => string): readonly T[] {
  const exact = pattern === '*' ? [] : tables.filter((table) => nameOf(table) === pattern)
  return exact.length > 0 ? exact : tables.filter((table) => nameMatches(pattern, nameOf(table)))
}
