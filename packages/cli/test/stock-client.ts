import { createClient, REALTIME_SUBSCRIBE_STATES, type SupabaseClient } from '@supabase/supabase-js'
import { WebSocket } from 'ws'
import type { Received } from './cluster-client.ts'

/** From `live` on it gets every row, until the connection is lost. */
interface Period {
  readonly live: number
  lost: number
  /** The last row that came in it. */
  last: number
}

/** What was written in the last moments before a connection broke may not have arrived: this process notices the end late when it is busy. */
const UNDER_WAY_MS = 5_000

/** An unmodified client of Supabase in one room, written as its documentation shows it. It has no positions, so it resumes nothing. */
export class StockClient {
  readonly id: number
  readonly room: number
  readonly received: Received[] = []
  /** When it had joined, again and again: before, broadcasts may have been missed. */
  readonly breaks: number[] = []
  readonly faults: string[] = []
  expectedKeys: readonly string[] = []
  readonly flickers: string[] = []
  readonly #rows: number[] = []
  readonly #periods: Period[] = []
  readonly #supabase: SupabaseClient
  #joined = false
  #present: string[] = []

  constructor(id: number, room: number, port: number, token: string) {
    this.id = id
    this.room = room
    // Its types want the WebSocket of browsers.
    const realtime = { transport: WebSocket as never }
    this.#supabase = createClient(`http://127.0.0.1:${port}`, token, { realtime, accessToken: () => Promise.resolve(token) })
    const channel = this.#supabase.channel(`room-${room}`, { config: { presence: { key: `k${id}` } } })
    channel
      .on('broadcast', { event: 'say' }, ({ payload }) =>
        this.received.push({ ...(payload as { from: number; n: number }), at: performance.now() }),
      )
      .on('postgres_changes', { event: 'INSERT', schema: 'public', table: 'journal' }, ({ new: row }) =>
        this.#row((row as { id: number }).id),
      )
      .on('presence', { event: 'sync' }, () => this.#see(Object.keys(channel.presenceState())))
      .on('system', {}, ({ message }: { message: string }) => {
        if (message === 'Subscribed to PostgreSQL') this.#periods.push({ live: performance.now(), lost: Infinity, last: 0 })
      })
      .subscribe((status) => {
        this.#joined = status === REALTIME_SUBSCRIBE_STATES.SUBSCRIBED
        if (this.#joined) {
          this.breaks.push(performance.now())
          void channel.track({ id })
        } else if (this.#periods.at(-1)?.lost === Infinity) this.#periods.at(-1)!.lost = performance.now()
      })
  }

  get joins(): number {
    return this.breaks.length
  }

  /** Joined, and live on rows. */
  get live(): boolean {
    return this.#joined && this.#periods.at(-1)?.lost === Infinity
  }

  get present(): string[] {
    return this.#present
  }

  /** Rows that were written while it was live, and did not come. */
  missedRows(writtenAt: readonly number[]): string[] {
    const got = new Set(this.#rows)
    return writtenAt.flatMap((at, n) => {
      // A later row of the same connection shows that this one will not come.
      const wasLive = this.#periods.some(({ live, lost, last }) => at > live && at < lost && (n + 1 < last || at < lost - UNDER_WAY_MS))
      return wasLive && !got.has(n + 1) ? [`stock client ${this.id} missed row ${n + 1}`] : []
    })
  }

  close(): void {
    void this.#supabase.realtime.disconnect()
  }

  #row(id: number): void {
    const before = this.#rows.at(-1) ?? 0
    if (id <= before) this.faults.push(`stock client ${this.id} got row ${id} after ${before}`)
    this.#rows.push(id)
    const period = this.#periods.at(-1)
    if (period?.lost === Infinity) period.last = id
  }

  #see(keys: string[]): void {
    this.#present = keys.sort()
    const missing = this.expectedKeys.filter((key) => !keys.includes(key))
    // Its view is built again with each join.
    if (this.#joined && missing.length > 0) this.flickers.push(`stock client ${this.id} does not see ${missing.join()}`)
  }
}
