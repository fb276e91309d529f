import { getOrMake } from '../catalog/multimap.ts'
import type { ColumnText } from '../replication/change-row.ts'
import type { Audience, IndexKey } from './feed-channel.ts'

type ByColumn = Map<string, Map<string, Set<Audience>>>

/** Audiences by the values of single columns, so that a change only meets those it may concern. */
export class SubscriptionIndex {
  readonly #everywhere = new Set<Audience>()
  readonly #byFilter: ByColumn = new Map()
  readonly #byOwner: ByColumn = new Map()
  size = 0

  add(audience: Audience): void {
    this.size++
    const key = audience.indexKey
    if (key === null) return void this.#everywhere.add(audience)
    const byValue = getOrMake(this.#columns(key), key.column, () => new Map<string, Set<Audience>>())
    for (const value of key.values) getOrMake(byValue, value, () => new Set<Audience>()).add(audience)
  }

  delete(audience: Audience): void {
    this.size--
    const key = audience.indexKey
    if (key === null) return void this.#everywhere.delete(audience)
    const columns = this.#columns(key)
    const byValue = columns.get(key.column)
    for (const value of key.values) {
      const audiences = byValue?.get(value)
      audiences?.delete(audience)
      if (audiences?.size === 0) byValue!.delete(value)
    }
    if (byValue?.size === 0) columns.delete(key.column)
  }

  /** Those that the row may concern, each once. An owner that is not known may be any; a filter lets no unknown value pass. */
  *candidates(text: ColumnText, owner: ColumnText): Generator<Audience> {
    yield* this.#everywhere
    for (const [column, byValue] of this.#byFilter) {
      const value = text(column)
      if (typeof value === 'string') yield* byValue.get(value) ?? []
    }
    for (const [column, byValue] of this.#byOwner) {
      const value = owner(column)
      if (typeof value === 'string') yield* byValue.get(value) ?? []
      else if (value === undefined) for (const audiences of byValue.values()) yield* audiences
    }
  }

  #columns({ isOwner }: NonNullable<IndexKey>): ByColumn {
    return isOwner ? this.#byOwner : this.#byFilter
  }
}
