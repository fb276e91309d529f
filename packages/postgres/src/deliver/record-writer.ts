import { columnWriter, keyOrder } from '../replication/pgoutput/column-value.ts'
import type { Tuple } from '../replication/pgoutput/tuple.ts'
import type { Column } from '../replication/table.ts'

/** A column to write. */
export type RecordColumn = Pick<Column, 'name' | 'type' | 'tupleIndex'>

/** Where values come from that the new tuple does not have. */
export interface RecordSources {
  /** Where a value that the new tuple left out is looked for: the old tuple, when it holds the full row. */
  readonly old?: Tuple | null
  /** JSON texts, by column name, that the database was asked for: generated columns and types of kind `cast`. They win. */
  readonly computed?: ReadonlyMap<string, string> | undefined
}

/** Writes a row as `to_jsonb(row)::text` would: `{"id": 1, "name": "a"}`. A column whose value is not known is left out. */
export type RecordWriter = (tuple: Tuple, sources?: RecordSources) => string

/** Prepares the writer for these columns, once per table and selection. */
export function recordWriter(columns: readonly RecordColumn[]): RecordWriter {
  const cells = keyOrder(columns.map((column) => column.name)).map((index) => {
    const column = columns[index]!
    return { name: column.name, at: column.tupleIndex, key: `${JSON.stringify(column.name)}: `, write: columnWriter(column.type) }
  })
  return (tuple, sources = {}) => {
    let json = ''
    for (const { name, at, key, write } of cells) {
      const value = sources.computed?.get(name) ?? columnJson(at, write, tuple, sources.old)
      if (value !== undefined) json += `${json === '' ? '{' : ', '}${key}${value}`
    }
    return json === '' ? '{}' : `${json}}`
  }
}

function columnJson(at: number | null, write: (text: string) => string, tuple: Tuple, old: Tuple | null | undefined): string | undefined {
  if (at === null) return undefined
  let text = tuple.text(at)
  if (text === undefined && old) text = old.text(at)
  return typeof text === 'string' ? write(text) : text === null ? 'null' : undefined
}
