import { tupleBytes } from '../replication/change-row.ts'
import type { Lsn } from '../replication/lsn.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'

export type Step =
  | { readonly kind: 'change'; readonly change: RowChange; readonly bytes: number }
  | { readonly kind: 'progress'; readonly lsn: Lsn }
  | { readonly kind: 'control'; readonly work: () => void | Promise<void> }

/** Removed steps are kept until there are so many. */
const MAX_REMOVED = 4_096

/** Steps in their order, with the bytes of their changes. */
export class PipelineQueue {
  #steps: Step[] = []
  #from = 0
  #bytes = 0

  get size(): number {
    return this.#steps.length - this.#from
  }

  get bytes(): number {
    return this.#bytes
  }

  get firstChange(): RowChange | null {
    const at = this.#firstChangeAt()
    const step = this.#steps[at]
    return step?.kind === 'change' ? step.change : null
  }

  at(index: number): Step {
    return this.#steps[this.#from + index]!
  }

  push(step: Step): void {
    this.#steps.push(step)
  }

  pushChange(change: RowChange): void {
    const bytes = 256 + tupleBytes(change)
    this.#bytes += bytes
    this.#steps.push({ kind: 'change', change, bytes })
  }

  remove(count: number): void {
    for (let at = this.#from; at < this.#from + count; at++) {
      const step = this.#steps[at]!
      if (step.kind === 'change') this.#bytes -= step.bytes
    }
    this.#from += count
    if (this.#from === this.#steps.length || this.#from > MAX_REMOVED) {
      this.#steps = this.#steps.slice(this.#from)
      this.#from = 0
    }
  }

  dropFirstChange(): RowChange | null {
    const at = this.#firstChangeAt()
    const step = this.#steps[at]
    if (step?.kind !== 'change') return null
    this.#bytes -= step.bytes
    this.#steps.splice(at, 1)
    return step.change
  }

  clear(): void {
    this.#steps = []
    this.#from = 0
    this.#bytes = 0
  }

  /** Leaves what is to run, and nothing that came from the stream. */
  dropStream(): void {
    const kept = this.#steps.slice(this.#from).filter(({ kind }) => kind === 'control')
    this.clear()
    this.#steps = kept
  }

  #firstChangeAt(): number {
    for (let at = this.#from; at < this.#steps.length; at++) if (this.#steps[at]!.kind === 'change') return at
    return -1
  }
}
