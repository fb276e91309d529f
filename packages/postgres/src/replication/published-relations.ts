import type { Lsn } from './lsn.ts'

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

/** A relation as the database remembers it, for nodes that were not there. */
export interface LoggedRelation {
  readonly oid: number
  /** As last seen; empty: not published. */
  readonly version: string
  readonly gapBefore: Lsn | null
}

/** Changes of these tables, by oid, may be missing before a position in the log. */
export interface TableGap {
  readonly tables: readonly number[]
  readonly before: Lsn
}

export interface PublishedDifference {
  readonly gaps: readonly TableGap[]
  readonly writes: readonly LoggedRelation[]
}

export interface PublishedReading {
  readonly relations: readonly PublishedRelation[]
  readonly serverLsn: Lsn
  /** The slot was made after them: nothing is read that they did not publish. */
  readonly isNewSlot: boolean
}

/**
 * Remembers what the publications publish. A relation that was taken out and put back leaves a gap without an error: its
 * changes in between were not decoded. What no node has ever seen published leaves none.
 */
export class PublishedRelations {
  /** `null`: not read yet in this epoch. An empty version: it was published before. */
  #versions: Map<number, string> | null = null

  restart(): void {
    this.#versions = null
  }

  /** Whether all is as it was at the last reading, so that the database need not be asked what it remembers. */
  isSame(relations: readonly PublishedRelation[]): boolean {
    const versions = this.#versions
    if (versions === null) return false
    const published = [...versions.values()].filter((version) => version !== '').length
    return published === relations.length && relations.every(({ oid, version }) => versions.get(oid) === version)
  }

  compare({ relations, serverLsn, isNewSlot }: PublishedReading, log: readonly LoggedRelation[]): PublishedDifference {
    const logged = new Map(log.map((each) => [each.oid, each]))
    const writes: LoggedRelation[] = []
    const gaps = new Map<Lsn, Set<number>>()
    for (const relation of relations) {
      const { oid, version, deliveredAs } = relation
      const row = logged.get(oid)
      const before = isNewSlot ? null : this.#gapBefore(relation, row, { serverLsn, isLogEmpty: logged.size === 0 })
      if (before !== null) gaps.set(before, new Set([...(gaps.get(before) ?? []), ...deliveredAs]))
      if (row?.version !== version) writes.push({ oid, version, gapBefore: before })
    }
    const now = new Map(relations.map(({ oid, version }) => [oid, version]))
    for (const { oid, version, gapBefore } of log) if (!now.has(oid) && version !== '') writes.push({ oid, version: '', gapBefore })
    for (const oid of this.#versions?.keys() ?? []) if (!now.has(oid)) now.set(oid, '')
    this.#versions = now
    return { gaps: [...gaps].map(([before, tables]) => ({ tables: [...tables].sort((one, other) => one - other), before })), writes }
  }

  #gapBefore(
    { oid, version, recent }: PublishedRelation,
    row: LoggedRelation | undefined,
    { serverLsn, isLogEmpty }: { readonly serverLsn: Lsn; readonly isLogEmpty: boolean },
  ): Lsn | null {
    const known = this.#versions?.get(oid)
    if (known === version) return null
    if (known !== undefined || (row !== undefined && row.version !== version)) return serverLsn
    if (row !== undefined) return row.gapBefore
    // No server has ever remembered anything in this database: only a recent entry shows that changes may be missing.
    return this.#versions === null && isLogEmpty && recent ? serverLsn : null
  }
}
