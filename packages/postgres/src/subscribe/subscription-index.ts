import { getOrMake } from '../catalog/multimap.ts'
import type { ColumnText } from '../replication/change-row.ts'
import type { Audience } from './feed-channel.ts'

type ByColumn = Map<string, Map<string, Set<Audience>>>

/** Audiences by the values of single columns, so that a change only meets those it may concern. */
export class SubscriptionIndex {
  readonly #everywhere = new Set<Audience>()
  readonly #byFilter: ByColumn = new Map()
  readonly #byOwner: ByColumn = new Map()
  size = 0

  add(audience: Audience): void {
    this.size++
    const place = this.#placeOf(audience)
    if (place === null) return void this.#everywhere.add(audience)
    const byValue = getOrMake(place.columns, place.column, () => new Map<string, Set<Audience>>())
    for (const value of place.values) getOrMake(byValue, value, () => new Set<Audience>()).add(audience)
  }

  delete(audience: Audience): void {
    this.size--
    const place = this.#placeOf(audience)
    if (place === null) return void this.#everywhere.delete(audience)
    const { columns, column, values } = place
    const byValue = columns.get(column)
    for (const value of values) {
      const audiences = byValue?.get(value)
      audiences?.delete(audience)
      if (audiences?.size === 0) byValue!.delete(value)
    }
    if (byValue?.size === 0) columns.delete(column)
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

  #placeOf({ lookup, owner }: Audience): (NonNullable<Audience['lookup']> & { readonly columns: ByColumn }) | null {
    if (lookup !== null) return { ...lookup, columns: this.#byFilter }
    return owner === null ? null : { column: owner.column, values: [owner.value], columns: this.#byOwner }
  }
}
