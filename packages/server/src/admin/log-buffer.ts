import type { AdminLog, AdminLogRow, AdminWatch } from '@tidewire/protocol'
import { rowContent, rowMatches, type LogEvent } from './log-row.ts'

/** The most rows of messages and changes between two takes. Other rows have a bound of their own, so that a burst does not crowd them out. */
export const MAX_ROWS = 20
/** With a filter, the most events that are matched between two takes. */
const MAX_EXAMINED = 200

/**
 * The rows for one inspector between two takes: the first ones, and the number of the others. Once it is full, an
 * event costs a comparison and a count.
 */
export class LogBuffer {
  watch: AdminWatch = { payloads: false, match: '' }
  #match = ''
  #rows: AdminLogRow[] = []
  #traffic = 0
  #others = 0
  #examined = 0
  #skipped = 0

  setWatch(watch: AdminWatch): void {
    this.watch = watch
    this.#match = watch.match.toLowerCase()
  }

  /** Whether rows of messages and changes are still taken; if not, call `skip`. */
  get takesTraffic(): boolean {
    return this.#traffic < MAX_ROWS && this.#examined < MAX_EXAMINED
  }

  skip(): void {
    this.#skipped++
  }

  offer(logEvent: LogEvent, at: number, nextId: () => number): void {
    const isTraffic = logEvent.kind === 'message' || logEvent.kind === 'change'
    const isFull = isTraffic ? !this.takesTraffic : this.#others >= MAX_ROWS
    if (isFull) return this.skip()
    if (this.#match !== '') {
      if (isTraffic) this.#examined++
      if (!rowMatches(rowContent(logEvent, false), this.#match)) return
    }
    if (isTraffic) this.#traffic++
    else this.#others++
    this.#rows.push({ id: nextId(), at, ...rowContent(logEvent, this.watch.payloads) })
  }

  /** The rows since the last take; `null`: none. */
  take(): AdminLog | null {
    if (this.#rows.length === 0 && this.#skipped === 0) return null
    const log = { rows: this.#rows, skipped: this.#skipped }
    this.#rows = []
    this.#traffic = 0
    this.#others = 0
    this.#examined = 0
    this.#skipped = 0
    return log
  }
}
