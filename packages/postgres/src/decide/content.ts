import { getOrMake } from '../catalog/multimap.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { withRow } from '../replication/change-row.ts'
import type { Grant } from './feed-database.ts'

/**
 * What is sent of a change: its content, its key alone, or the row as Postgres has it now, which is written like the change.
 * The last two are marked as superseded, save for a DELETE's key.
 */
export type Content = 'image' | 'key' | RowChange

/** Rows as checks read them. Identities that were shown the same share one, and so its bytes. */
export class CurrentRows {
  readonly #columns: readonly number[]
  readonly #known = new Map<RowChange, Map<string, RowChange>>()

  constructor(columns: readonly number[]) {
    this.#columns = columns
  }

  contentOf(change: RowChange, grant: Grant): Content {
    if (typeof grant === 'string') return grant
    const ofChange = getOrMake(this.#known, change, () => new Map<string, RowChange>())
    const key = JSON.stringify(grant.current.map((text) => text ?? (text === null ? 0 : 1)))
    return getOrMake(ofChange, key, () => withRow(change, this.#columns, grant.current))
  }
}
