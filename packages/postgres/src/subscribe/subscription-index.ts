import { getOrMake } from '../catalog/multimap.ts'
import type { ColumnText } from '../replication/change-row.ts'

/** Where an audience is looked for when a row changes. */
export type IndexKey =
  /** Only rows whose column has one of the texts concern it: by its filters, or since its policies show no others. */
  { readonly column: string; readonly values: readonly string[]; readonly isOwner: boolean } | null

/** Items by the values of single columns, so that a change only meets those it may concern. */
export class SubscriptionIndex<T> {
  readonly #unknown: 'none' | 'all'
  readonly #everywhere = new Set<T>()
  readonly #byColumn = new Map<string, Map<string, Set<T>>>()
  size = 0

  /** Which items a column concerns whose value is not known. */
  constructor(unknown: 'none' | 'all') {
    this.#unknown = unknown
  }

  add(item: T, key: IndexKey): void {
    this.size++
    if (key === null) return void this.#everywhere.add(item)
    const byValue = getOrMake(this.#byColumn, key.column, () => new Map<string, Set<T>>())
    for (const value of key.values) getOrMake(byValue, value, () => new Set<T>()).add(item)
  }

  /** `key` is the one that it was added with. */
  delete(item: T, key: IndexKey): void {
    this.size--
    if (key === null) return void this.#everywhere.delete(item)
    const byValue = this.#byColumn.get(key.column)
    for (const value of key.values) {
      const items = byValue?.get(value)
      items?.delete(item)
      if (items?.size === 0) byValue!.delete(value)
    }
    if (byValue?.size === 0) this.#byColumn.delete(key.column)
  }

  /** Those that the row may concern, each once. */
  *candidates(text: ColumnText): Generator<T> {
    yield* this.#everywhere
    for (const [column, byValue] of this.#byColumn) {
      const value = text(column)
      if (typeof value === 'string') yield* byValue.get(value) ?? []
      else if (value === undefined && this.#unknown === 'all') yield* new Set([...byValue.values()].flatMap((items) => [...items]))
    }
  }
}
