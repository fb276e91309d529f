import type { AdminLog, AdminLogRow, AdminWatch } from '@tidewire/protocol'
import { rowContent, rowMatches, type LogEvent } from './log-row.ts'

/** Rows of messages and changes between two takes; other rows have as many of their own, so that a burst does not crowd them out. */
export const MAX_ROWS = 20
/** With something to match, so many events are looked at between two takes. */
const MAX_EXAMINED = 200

/**
 * What one inspector gets between two takes: the first rows, and how many more there were. Once it is full, what
 * happens costs a comparison and a count.
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

  /** Whether rows of messages and changes are still taken; when not, `skip` is all that is left. */
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

  /** What gathered since the last take; `null`: nothing. */
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
