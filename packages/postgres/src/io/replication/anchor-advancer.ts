import pg from 'pg'
import type { Queryable } from '../sessions/queryable.ts'
import { advanceAnchor, anchorTarget, heldBytes, type AdvanceRequest, type AnchorAdvance } from './anchor.ts'
import { dropClient } from './drop-client.ts'
import { oldestTransaction, transactionText } from './oldest-transaction.ts'

export interface AnchorAdvancerOptions extends AdvanceRequest {
  readonly connection: pg.ClientConfig
  readonly onNotice?: (sentence: string) => void
}

/** One node's part in advancing the anchor: there is no holder, each tries every few seconds and mostly finds nothing to do. */
export class AnchorAdvancer {
  readonly #options: AnchorAdvancerOptions
  #session: pg.Client | null = null
  #closed = false
  #last: AnchorAdvance | null = null
  #holder: string | null = null

  constructor(options: AnchorAdvancerOptions) {
    this.#options = options
  }

  /** `onCatalog` answers whether there is anything to do; the rest has a session of its own. Never rejects. */
  async advance(onCatalog: <T>(work: (catalog: Queryable) => Promise<T>) => Promise<T>): Promise<void> {
    if (this.#session !== null || this.#closed) return
    try {
      await onCatalog((catalog) => this.#reportHeld(catalog))
      const target = await onCatalog((catalog) => anchorTarget(catalog, this.#options))
      if (target === null || this.#closed || this.#session !== null) return
      const session = new pg.Client({ ...this.#options.connection, application_name: 'tidewire anchor' })
      session.on('error', () => {})
      this.#session = session
      await session.connect()
      this.#report(await advanceAnchor(session, this.#options))
    } catch {
      // No session is free, or there is no database: the next attempt comes by itself, and the stream reports what lasts.
    } finally {
      if (this.#session !== null) dropClient(this.#session)
      this.#session = null
    }
  }

  close(): void {
    this.#closed = true
    if (this.#session !== null) dropClient(this.#session)
  }

  /** Once for each transaction. */
  async #reportHeld(catalog: Queryable): Promise<void> {
    const { anchor, windowBytes, onNotice } = this.#options
    const held = await heldBytes(catalog, anchor)
    const oldest = held > windowBytes ? await oldestTransaction(catalog) : null
    if (oldest === null) return
    const id = `${oldest.pid} ${oldest.gid}`
    if (id === this.#holder) return
    this.#holder = id
    const megabytes = Math.round(held / 1_048_576)
    onNotice?.(
      `The anchor slot ${anchor} keeps ${megabytes} MB of write-ahead log that no server needs, until a transaction ends: ${transactionText(oldest)}`,
    )
  }

  #report(outcome: AnchorAdvance): void {
    if (outcome === this.#last) return
    this.#last = outcome
    const { anchor, onNotice } = this.#options
    if (outcome === 'held')
      onNotice?.(`The anchor slot ${anchor} is read by another process, such as a server of version 0.1, which advances it`)
    if (outcome === 'slow')
      onNotice?.(`Advancing the anchor slot ${anchor} takes too long: an old open transaction makes Postgres read much of its log again`)
  }
}
