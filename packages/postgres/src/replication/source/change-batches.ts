import type { ChangeBatch } from './change-source-api.ts'
import type { Lsn } from '../lsn.ts'
import type { RowChange } from '../transaction-assembler.ts'

/** Gathers changes until a batch is handed on. */
export class ChangeBatches {
  #changes: RowChange[] = []
  #endLsn: Lsn | null = null

  /** How many changes are gathered. */
  get size(): number {
    return this.#changes.length
  }

  add(change: RowChange): void {
    this.#changes.push(change)
  }

  /** The transaction of the last change ends here. */
  end(endLsn: Lsn): void {
    this.#endLsn = endLsn
  }

  /** `null`: there is nothing to hand on. */
  take(epoch: string): ChangeBatch | null {
    if (this.#changes.length === 0 && this.#endLsn === null) return null
    const batch = { epoch, changes: this.#changes, endLsn: this.#endLsn }
    this.#changes = []
    this.#endLsn = null
    return batch
  }
}
