import { getOrMake } from '../catalog/multimap.ts'
import { recordWriter, type RecordSources, type RecordWriter } from './record-writer.ts'
import { tupleBytes } from '../replication/change-row.ts'
import type { Column, Table } from '../replication/table.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import type { Tuple } from '../replication/pgoutput/tuple.ts'
import type { Computed } from './outcome.ts'

/** Larger changes leave out what is large (rule D10). A row counts in bytes; its JSON in characters, which cost nothing to count. */
const MAX_CHANGE_BYTES: number = 1024 * 1024
const MAX_KEPT_BYTES = 64

export interface DataOptions {
  /** How much of the old row is delivered. */
  readonly oldExtent: 'identity' | 'key'
  /** The row was written again since: it is sent as it is now, or its key alone. `null`: as the change wrote it. */
  readonly superseded: 'key' | RowChange | null
  readonly position: string | null
  readonly computed: Computed | null
}

interface Written {
  readonly columns: readonly Column[]
  readonly write: RecordWriter
}

/** One selection of a table's columns, and how its changes are written. */
export class TableView {
  /** Columns whose values the log does not hold, so that Postgres has to be asked. */
  readonly missing: readonly Column[]
  readonly #row: Written
  readonly #identity: Written
  readonly #key: Written
  /** The columns of the key that the log carries of an old row. */
  readonly #oldKey: Written
  readonly #tableJson: string
  readonly #schemaJson: string
  readonly #columnsJson: string

  constructor({ schema, name: table, primaryKey, columns: all }: Table, columns: readonly Column[]) {
    // Of a publication that lists columns, what it leaves out stays out.
    const isListed = all.some(({ tupleIndex, generated }) => tupleIndex === null && !generated)
    this.missing = columns.filter(({ tupleIndex, generated, type }) =>
      tupleIndex === null ? generated && !isListed : type.kind === 'cast',
    )
    const written = (some: readonly Column[]): Written => ({ columns: some, write: recordWriter(some) })
    const key = columns.filter((column) => primaryKey.includes(column))
    this.#row = written(columns)
    this.#identity = written(columns.filter(({ identity }) => identity))
    this.#key = written(key)
    this.#oldKey = written(key.filter(({ identity }) => identity))
    this.#tableJson = JSON.stringify(table)
    this.#schemaJson = JSON.stringify(schema)
    this.#columnsJson = `[${columns.map(({ name, typeName }) => `{"name": ${JSON.stringify(name)}, "type": ${JSON.stringify(typeName)}}`).join(', ')}]`
  }

  data(change: RowChange, options: DataOptions): string {
    const row = rowOf(change, options)
    const whole =
      tupleBytes(row) > MAX_CHANGE_BYTES ? null : this.#records(change, row, options, ({ write }, tuple, sources) => write(tuple, sources))
    const fits = whole !== null && whole.record.length + whole.old.length <= MAX_CHANGE_BYTES
    const { record, old } = fits
      ? whole
      : this.#records(change, row, options, ({ columns }, tuple, sources) => small(columns, tuple, sources.old ?? null))
    const { action, transaction } = change
    return (
      `{"table":${this.#tableJson},"type":"${action}"${action === 'DELETE' ? '' : `,"record":${record}`}` +
      `,"columns":${this.#columnsJson},"errors":${fits ? 'null' : '["Error 413: Payload Too Large"]'},"schema":${this.#schemaJson}` +
      `,"commit_timestamp":"${commitTimestamp(transaction.commitTime)}"${action === 'INSERT' ? '' : `,"old_record":${old}`}` +
      `${options.position === null ? '' : `,"position":"${options.position}"`}${options.superseded === null ? '' : ',"superseded":true'}}`
    )
  }

  #records(
    change: RowChange,
    row: RowChange,
    { oldExtent, superseded, computed }: DataOptions,
    write: (columns: Written, tuple: Tuple, sources: RecordSources) => string,
  ): { readonly record: string; readonly old: string } {
    const { newTuple } = row
    // What an UPDATE left as it was stands in the old row only.
    const full = row.old?.extent === 'full' ? row.old.tuple : null
    const record =
      newTuple === null ? '' : write(superseded === 'key' ? this.#key : this.#row, newTuple, { old: full, computed: computed?.record })
    const before = change.action === 'INSERT' ? null : (change.old?.tuple ?? change.newTuple)
    if (before === null) return { record, old: '{}' }
    const isKey = oldExtent === 'key' || superseded !== null || this.#identity.columns.length === 0
    const values = change.old === null ? computed?.record : computed?.old
    return { record, old: write(isKey ? this.#oldKey : this.#identity, before, { computed: values }) }
  }
}

function rowOf(change: RowChange, { superseded }: DataOptions): RowChange {
  return superseded === null || superseded === 'key' ? change : { ...superseded, old: null }
}

/** The `data` of a change whose content may not or cannot be delivered. */
export function errorData({ table, action }: RowChange, error: string): string {
  const records = action === 'DELETE' ? '' : ',"record":{}'
  const old = action === 'INSERT' ? '' : ',"old_record":{}'
  return `{"table":${JSON.stringify(table.name)},"type":"${action}"${records},"columns":[],"errors":["${error}"],"schema":${JSON.stringify(table.schema)},"commit_timestamp":null${old}}`
}

function small(columns: readonly Column[], tuple: Tuple, old: Tuple | null): string {
  const kept = columns.filter((column) => {
    const at = column.tupleIndex
    const bytes = at === null ? null : (tuple.bytes(at) ?? (tuple.text(at) === undefined ? (old?.bytes(at) ?? null) : null))
    // Each small column is written twice, to measure it. Rows this large have few.
    return bytes !== null && bytes.length <= MAX_KEPT_BYTES && jsonBytes(column, tuple, old) <= MAX_KEPT_BYTES
  })
  return recordWriter(kept)(tuple, { old })
}

function jsonBytes(column: Column, tuple: Tuple, old: Tuple | null): number {
  return Buffer.byteLength(recordWriter([column])(tuple, { old })) - Buffer.byteLength(`{${JSON.stringify(column.name)}: }`)
}

const MAX_DATE_MS = 8_640_000_000_000_000

/** The last commit time and its text: all changes of a transaction have the same. */
let written = { timeUs: 0n, text: '1970-01-01T00:00:00.000Z' }

/** ISO 8601 in UTC, cut to milliseconds. A replication origin may name any time: one that no Date holds becomes the nearest. */
function commitTimestamp(timeUs: bigint): string {
  if (written.timeUs === timeUs) return written.text
  const text = new Date(Math.max(-MAX_DATE_MS, Math.min(MAX_DATE_MS, Number(timeUs / 1_000n)))).toISOString()
  written = { timeUs, text }
  return text
}

const views = new WeakMap<Table, Map<string, TableView>>()

/** How changes of the table are written with these columns (`attnum`s, comma separated). */
export function viewOf(table: Table, columns: string): TableView {
  const ofTable = getOrMake(views, table, () => new Map<string, TableView>())
  return getOrMake(ofTable, columns, () => {
    const numbers = new Set(columns.split(',').map(Number))
    const selected = table.columns.filter(({ number }) => number > 0 && numbers.has(number))
    return new TableView(table, selected)
  })
}
