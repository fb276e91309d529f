/** A relation that is written to, a table or a leaf partition, and what in the catalog makes a publication publish it. */
export interface PublishedRelation {
  readonly oid: number
  /** The relations whose changes subscribers see: itself, or the root where a publication publishes through it. */
  readonly deliveredAs: readonly number[]
  /** Differs whenever an entry of the catalog that publishes it was written again, even with the same content. */
  readonly version: string
  /** One of those entries was written after the beginning of the window, and not by the transaction that made the relation. */
  readonly recent: boolean
}

/**
 * Remembers what the publications publish. A relation that was taken out and put back leaves a gap without an error: its
 * changes in between were not decoded. What was never published before leaves none.
 */
export class PublishedRelations {
  readonly #versions = new Map<number, string>()

  /** Where a window begins that another process has filled: everything that may have a gap in it, as delivered. */
  begin(relations: readonly PublishedRelation[]): readonly number[] {
    this.#versions.clear()
    for (const { oid, version } of relations) this.#versions.set(oid, version)
    return deliveredAs(relations.filter(({ recent }) => recent))
  }

  /** What has a gap since the last look, as delivered. */
  update(relations: readonly PublishedRelation[]): readonly number[] {
    const changed = relations.filter(({ oid, version }) => this.#versions.has(oid) && this.#versions.get(oid) !== version)
    const now = new Set(relations.map(({ oid }) => oid))
    // One that is gone is remembered as such: should it come back, it has a gap.
    for (const oid of this.#versions.keys()) if (!now.has(oid)) this.#versions.set(oid, '')
    for (const { oid, version } of relations) this.#versions.set(oid, version)
    return deliveredAs(changed)
  }
}

function deliveredAs(relations: readonly PublishedRelation[]): readonly number[] {
  return [...new Set(relations.flatMap((relation) => relation.deliveredAs))].sort((one, other) => one - other)
}
