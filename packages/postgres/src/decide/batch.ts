import type { RowChange } from '../replication/transaction-assembler.ts'
import type { Crowd } from './crowd.ts'
import type { Candidate } from './decision.ts'

/** Changes that are decided together, and whom they may concern. */
export class Batch {
  readonly changes: RowChange[] = []
  readonly candidates: Candidate[] = []
  /** New rows that all of a crowd is to be asked about. */
  readonly crowds: Map<Crowd, RowChange[]> = new Map()
  #expected = 0

  /** How many deliveries it may make, as far as can be told beforehand. */
  get weight(): number {
    return this.candidates.length + this.#expected
  }

  ask(crowd: Crowd, change: RowChange): void {
    this.#expected += crowd.weight
    const changes = this.crowds.get(crowd)
    if (changes === undefined) this.crowds.set(crowd, [change])
    else changes.push(change)
  }
}
