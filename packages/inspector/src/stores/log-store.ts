import { batch, signal, type ReadonlySignal, type Signal } from '@preact/signals'
import type { AdminLog, AdminLogRow } from '@tidewire/protocol'
import { parseFilter, type RowTest } from './log-filter.ts'

/** A row of the log, or a place where rows are missing. */
export type LogEntry =
  | { readonly key: number; readonly row: AdminLogRow; readonly missing?: undefined }
  | { readonly key: number; readonly missing: string; readonly row?: undefined }

/** The rows that the list shows. The array is written to in place; a new object means that it changed. */
export interface Shown {
  readonly entries: readonly LogEntry[]
  /** How many entries left `entries` at its front since the page was opened: `entries[i]` is entry number `gone + i`. */
  readonly gone: number
}

/** So many rows are kept, and this many more before the oldest are let go together. */
const MOST = 10_000
const SLACK = 1_000

/** The log: what came in, which of it the filter lets through, and what waits while it is paused. */
export class LogStore {
  readonly #shown: Signal<Shown> = signal({ entries: [], gone: 0 })
  readonly #filter: Signal<string> = signal('')
  readonly #isPaused: Signal<boolean> = signal(false)
  readonly #waiting: Signal<number> = signal(0)
  readonly #total: Signal<number> = signal(0)
  #all: LogEntry[] = []
  #visible: LogEntry[] = []
  #held: LogEntry[] = []
  #test: RowTest = () => true
  #nextKey = 0

  /** The rows that the list shows; rows that were skipped are shown whatever the filter says. */
  get shown(): ReadonlySignal<Shown> {
    return this.#shown
  }

  get filter(): ReadonlySignal<string> {
    return this.#filter
  }

  get isPaused(): ReadonlySignal<boolean> {
    return this.#isPaused
  }

  /** Rows that came in while paused. */
  get waiting(): ReadonlySignal<number> {
    return this.#waiting
  }

  /** Rows that are kept, filtered or not. */
  get total(): ReadonlySignal<number> {
    return this.#total
  }

  append({ rows, skipped }: AdminLog): void {
    const entries: LogEntry[] = rows.map((row) => ({ key: this.#nextKey++, row }))
    if (skipped > 0) entries.push({ key: this.#nextKey++, missing: `${skipped.toLocaleString('en')} more happened than is shown` })
    this.#take(entries)
  }

  /** Marks a place where something is missing, such as a time without a connection. */
  mark(sentence: string): void {
    this.#take([{ key: this.#nextKey++, missing: sentence }])
  }

  setFilter(text: string): void {
    this.#test = parseFilter(text)
    batch(() => {
      this.#filter.value = text
      this.#visible = this.#all.filter((entry) => this.#lets(entry))
      this.#changed()
    })
  }

  pause(isPaused: boolean): void {
    batch(() => {
      this.#isPaused.value = isPaused
      if (isPaused) return
      const held = this.#held
      this.#held = []
      this.#waiting.value = 0
      this.#take(held)
    })
  }

  clear(): void {
    this.#all = []
    this.#visible = []
    this.#held = []
    batch(() => {
      this.#waiting.value = 0
      this.#changed()
    })
  }

  #take(entries: readonly LogEntry[]): void {
    if (entries.length === 0) return
    if (this.#isPaused.value) {
      for (const entry of entries) this.#held.push(entry)
      this.#waiting.value += entries.length
      if (this.#held.length > MOST + SLACK) this.#held.splice(0, this.#held.length - MOST)
      return
    }
    for (const entry of entries) {
      this.#all.push(entry)
      if (this.#lets(entry)) this.#visible.push(entry)
    }
    if (this.#all.length > MOST + SLACK) this.#letGo()
    batch(() => this.#changed())
  }

  /** The oldest go by the thousand: taking one from the front of a long array for each new one would cost more. */
  #letGo(): void {
    this.#all.splice(0, this.#all.length - MOST)
    const oldest = this.#all[0]!.key
    const kept = this.#visible.findIndex((entry) => entry.key >= oldest)
    const leaving = kept < 0 ? this.#visible.length : kept
    this.#visible.splice(0, leaving)
    this.#shown.value = { entries: this.#visible, gone: this.#shown.value.gone + leaving }
  }

  #lets(entry: LogEntry): boolean {
    return entry.row === undefined || this.#test(entry.row)
  }

  #changed(): void {
    this.#total.value = this.#all.length
    this.#shown.value = { entries: this.#visible, gone: this.#shown.value.gone }
  }
}
