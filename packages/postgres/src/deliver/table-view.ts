import { getOrMake } from '../catalog/multimap.ts'
import { recordWriter, type RecordSources, type RecordWriter } from './record-writer.ts'
import type { Column, Table } from '../replication/table.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import type { Tuple } from '../replication/pgoutput/tuple.ts'
import type { Computed } from './computed-columns.ts'

/** Larger changes leave out what is large (rule D10). */
const MAX_CHANGE_BYTES: number = 1024 * 1024
const MAX_KEPT_BYTES = 64

/** How much of the old row is delivered. */
export type OldExtent = 'identity' | 'key'

export interface DataOptions {
  readonly oldExtent: OldExtent
  /** The row was written again since: it is sent as it is now, or its key alone. `null`: as the change wrote it. */
  readonly superseded: 'key' | RowChange | null
  readonly position: string | null
  /** What the log does not hold. */
  readonly computed: Computed | null
}

/** One selection of a table's columns, and how its changes are written. */
export class TableView {
  /** Equal for views that write the same. */
  readonly key: string
  readonly #columns: readonly Column[]
  readonly #identity: readonly Column[]
  readonly #primaryKey: readonly Column[]
  /** Of the key, what the log carries of an old row. */
  readonly #oldKey: readonly Column[]
  readonly #columnsJson: string
  readonly #writeRow: RecordWriter
  readonly #writeIdentity: RecordWriter
  readonly #writeKey: RecordWriter
  readonly #writeOldKey: RecordWriter

  constructor(table: Table, columns: readonly Column[]) {
    this.#columns = columns
    this.#identity = columns.filter((column) => column.identity)
    this.#primaryKey = columns.filter((column) => table.primaryKey.includes(column))
    this.#oldKey = this.#primaryKey.filter((column) => column.identity)
    this.key = columns.map((column) => column.number).join()
    this.#columnsJson = `[${columns.map(({ name, typeName }) => `{"name": ${JSON.stringify(name)}, "type": ${JSON.stringify(typeName)}}`).join(', ')}]`
    this.#writeRow = recordWriter(columns)
    this.#writeIdentity = recordWriter(this.#identity)
    this.#writeKey = recordWriter(this.#primaryKey)
    this.#writeOldKey = recordWriter(this.#oldKey)
  }

  /** The `data` of a message, as JSON text. */
  data(change: RowChange, options: DataOptions): string {
    const whole = rawBytes(rowOf(change, options)) > MAX_CHANGE_BYTES ? null : this.#records(change, options)
    if (whole !== null && whole.record.length + whole.old.length <= MAX_CHANGE_BYTES) return this.#join(change, options, whole, 'null')
    return this.#join(change, options, this.#smallRecords(change, options), '["Error 413: Payload Too Large"]')
  }

  #join(change: RowChange, options: DataOptions, { record, old }: Records, errors: string): string {
    const { table, action, transaction } = change
    return (
      `{"table":${JSON.stringify(table.name)},"type":"${action}"${action === 'DELETE' ? '' : `,"record":${record}`}` +
      `,"columns":${this.#columnsJson},"errors":${errors},"schema":${JSON.stringify(table.schema)}` +
      `,"commit_timestamp":"${commitTimestamp(transaction.commitTime)}"${action === 'INSERT' ? '' : `,"old_record":${old}`}` +
      `${options.position === null ? '' : `,"position":"${options.position}"`}${options.superseded === null ? '' : ',"superseded":true'}}`
    )
  }

  #records(change: RowChange, options: DataOptions): Records {
    const { superseded, computed } = options
    const row = rowOf(change, options)
    const { newTuple } = row
    const { old } = change
    const sources: RecordSources = { old: fullOld(row), ...(computed === null ? {} : { computed: computed.record }) }
    const record = newTuple === null ? '' : (superseded === 'key' ? this.#writeKey : this.#writeRow)(newTuple, sources)
    const before = old?.tuple ?? change.newTuple
    const writeOld = this.#oldColumns(options) === this.#oldKey ? this.#writeOldKey : this.#writeIdentity
    const oldSources: RecordSources = computed === null ? {} : { computed: old === null ? computed.record : computed.old }
    return { record, old: change.action === 'INSERT' || before === null ? '{}' : writeOld(before, oldSources) }
  }

  #smallRecords(change: RowChange, options: DataOptions): Records {
    const row = rowOf(change, options)
    const { newTuple } = row
    const before = change.old?.tuple ?? change.newTuple
    return {
      record: newTuple === null ? '' : small(options.superseded === 'key' ? this.#primaryKey : this.#columns, newTuple, fullOld(row)),
      old: change.action === 'INSERT' || before === null ? '{}' : small(this.#oldColumns(options), before, null),
    }
  }

  #oldColumns({ oldExtent, superseded }: DataOptions): readonly Column[] {
    return oldExtent === 'key' || superseded !== null || this.#identity.length === 0 ? this.#oldKey : this.#identity
  }
}

/** The row that the record holds. */
function rowOf(change: RowChange, { superseded }: DataOptions): RowChange {
  return superseded === null || superseded === 'key' ? change : { ...superseded, old: null }
}

/** Where values are that an UPDATE left as they were. */
function fullOld({ old }: RowChange): Tuple | null {
  return old?.extent === 'full' ? old.tuple : null
}

interface Records {
  readonly record: string
  readonly old: string
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
    const bytes = at === null ? null : (tuple.bytes(at) ?? (tuple.kind(at) === 'unchanged' ? (old?.bytes(at) ?? null) : null))
    // Rows as large as this have few columns that are worth writing twice.
    return bytes !== null && bytes.length <= MAX_KEPT_BYTES && jsonBytes(column, tuple, old) <= MAX_KEPT_BYTES
  })
  return recordWriter(kept)(tuple, { old })
}

function jsonBytes(column: Column, tuple: Tuple, old: Tuple | null): number {
  return Buffer.byteLength(recordWriter([column])(tuple, { old })) - Buffer.byteLength(`{${JSON.stringify(column.name)}: }`)
}

function rawBytes({ newTuple, old }: RowChange): number {
  return (newTuple?.byteLength ?? 0) + (old?.tuple.byteLength ?? 0)
}

const MAX_DATE_MS = 8_640_000_000_000_000

/** ISO 8601 in UTC, cut to milliseconds. A replication origin may name any time: one that no Date holds becomes the nearest. */
function commitTimestamp(timeUs: bigint): string {
  return new Date(Math.max(-MAX_DATE_MS, Math.min(MAX_DATE_MS, Number(timeUs / 1_000n)))).toISOString()
}

const views = new WeakMap<Table, Map<string, TableView>>()

/** How changes of the table are written with these columns (`attnum`s, comma separated). */
export function viewOf(table: Table, columns: string): TableView {
  return getOrMake(
    getOrMake(views, table, () => new Map<string, TableView>()),
    columns,
    () => {
      const numbers = new Set(columns.split(',').map(Number))
      return new TableView(
        table,
        table.columns.filter((column) => column.number > 0 && numbers.has(column.number)),
      )
    },
  )
}
