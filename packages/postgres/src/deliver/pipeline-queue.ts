import { tupleBytes } from '../replication/change-row.ts'
import type { Lsn } from '../replication/lsn.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'

export type Step =
  | { readonly kind: 'change'; readonly change: RowChange }
  | { readonly kind: 'progress'; readonly lsn: Lsn }
  | { readonly kind: 'control'; readonly work: () => void | Promise<void> }

/** Steps in their order, with the bytes of their changes. */
export class PipelineQueue {
  #steps: Step[] = []
  #bytes = 0

  get size(): number {
    return this.#steps.length
  }

  get bytes(): number {
    return this.#bytes
  }

  get firstChange(): RowChange | null {
    return this.#steps.find(isChange)?.change ?? null
  }

  at(index: number): Step {
    return this.#steps[index]!
  }

  push(step: Step): void {
    this.#bytes += bytesOf(step)
    this.#steps.push(step)
  }

  remove(count: number): void {
    this.#removeAt(0, count)
  }

  dropFirstChange(): RowChange | null {
    const change = this.firstChange
    if (change !== null) this.#removeAt(this.#steps.findIndex(isChange), 1)
    return change
  }

  clear(): void {
    this.#steps = []
    this.#bytes = 0
  }

  /** Keeps control steps only. */
  dropStream(): void {
    this.#steps = this.#steps.filter(({ kind }) => kind === 'control')
    this.#bytes = 0
  }

  #removeAt(at: number, count: number): void {
    for (const step of this.#steps.splice(at, count)) this.#bytes -= bytesOf(step)
  }
}

function isChange(step: Step): step is Extract<Step, { readonly kind: 'change' }> {
  return step.kind === 'change'
}

function bytesOf(step: Step): number {
  return isChange(step) ? 256 + tupleBytes(step.change) : 0
}
