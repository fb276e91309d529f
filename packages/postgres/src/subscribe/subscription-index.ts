import { getOrMake } from '../catalog/multimap.ts'
import type { ColumnText } from '../replication/change-row.ts'
import type { AudienceGroup } from './audience-group.ts'
import type { Audience } from './feed-channel.ts'

/** An audience that is found by its owner stands alone: no other wants the same rows. */
export type Indexed = AudienceGroup | Audience

type ByColumn = Map<string, Map<string, Set<Indexed>>>

/** Audiences by the values of single columns, so that a change only meets those it may concern. */
export class SubscriptionIndex {
  /** Audiences without an owner, and without a filter that can be looked up: every change has to be compared with them. */
  readonly #everywhere = new Set<Indexed>()
  readonly #byFilter: ByColumn = new Map()
  readonly #byOwner: ByColumn = new Map()
  size = 0

  /** `audience` is the item, or one of the group. */
  add(item: Indexed, audience: Audience): void {
    this.size++
    const key = this.#keyOf(audience)
    if (key === null) return void this.#everywhere.add(item)
    const byValue = getOrMake(key.columns, key.column, () => new Map<string, Set<Indexed>>())
    for (const value of key.values) getOrMake(byValue, value, () => new Set<Indexed>()).add(item)
  }

  delete(item: Indexed, audience: Audience): void {
    this.size--
    const key = this.#keyOf(audience)
    if (key === null) return void this.#everywhere.delete(item)
    const { columns, column, values } = key
    const byValue = columns.get(column)
    for (const value of values) {
      const items = byValue?.get(value)
      items?.delete(item)
      if (items?.size === 0) byValue!.delete(value)
    }
    if (byValue?.size === 0) columns.delete(column)
  }

  /** Visits the audiences that the row may concern, each once. An unknown owner matches every owner; an unknown value passes no filter. */
  visit(text: ColumnText, owner: ColumnText, visitor: (item: Indexed) => void): void {
    this.#everywhere.forEach(visitor)
    for (const [column, byValue] of this.#byFilter) {
      const value = text(column)
      if (typeof value === 'string') byValue.get(value)?.forEach(visitor)
    }
    for (const [column, byValue] of this.#byOwner) {
      const value = owner(column)
      if (typeof value === 'string') byValue.get(value)?.forEach(visitor)
      else if (value === undefined) for (const items of byValue.values()) items.forEach(visitor)
    }
  }

  #keyOf({ lookup, owner }: Audience): (NonNullable<Audience['lookup']> & { readonly columns: ByColumn }) | null {
    if (lookup !== null) return { ...lookup, columns: this.#byFilter }
    return owner === null ? null : { column: owner.column, values: [owner.value], columns: this.#byOwner }
  }
}
