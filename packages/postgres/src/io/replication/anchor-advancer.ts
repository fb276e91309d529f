import type pg from 'pg'
import { dropClient, newClient } from '../sessions/client.ts'
import type { Queryable } from '../../catalog/queryable.ts'
import { advanceAnchor, anchorTarget, heldBytes, type AdvanceRequest, type AnchorAdvance } from './anchor.ts'
import { oldestTransaction, transactionText } from './oldest-transaction.ts'
import type { ReplicationTarget } from './replication-target.ts'

/** One node's part in advancing the anchor: there is no holder, each tries every few seconds and mostly finds nothing to do. */
export class AnchorAdvancer {
  readonly #request: AdvanceRequest
  readonly #target: ReplicationTarget
  #isRunning = false
  #session: pg.Client | null = null
  #closed = false
  #last: AnchorAdvance | null = null
  #holder: string | null = null

  constructor(anchor: string, target: ReplicationTarget) {
    this.#request = { anchor, slotBase: target.slotBase, windowBytes: target.windowBytes }
    this.#target = target
  }

  /** `onCatalog` answers whether there is anything to do; the rest has a session of its own. Never rejects. */
  async advance(onCatalog: <T>(work: (catalog: Queryable) => Promise<T>) => Promise<T>): Promise<void> {
    if (this.#isRunning) return
    this.#isRunning = true
    try {
      await onCatalog((catalog) => this.#reportHeld(catalog))
      const target = await onCatalog((catalog) => anchorTarget(catalog, this.#request))
      if (target !== null && !this.#closed) await this.#advance()
    } catch {
      // No session is free, or there is no database: the next attempt comes by itself, and the stream reports what lasts.
    } finally {
      this.#isRunning = false
    }
  }

  close(): void {
    this.#closed = true
    if (this.#session !== null) dropClient(this.#session)
  }

  async #advance(): Promise<void> {
    const session = newClient({ ...this.#target.connection, application_name: 'tidewire anchor' })
    this.#session = session
    try {
      await session.connect()
      this.#report(await advanceAnchor(session, this.#request))
    } finally {
      this.#session = null
      dropClient(session)
    }
  }

  /** Once for each transaction. */
  async #reportHeld(catalog: Queryable): Promise<void> {
    const { anchor, windowBytes } = this.#request
    const held = await heldBytes(catalog, anchor)
    const oldest = held > windowBytes ? await oldestTransaction(catalog) : null
    if (oldest === null) return
    const id = `${oldest.pid} ${oldest.gid}`
    if (id === this.#holder) return
    this.#holder = id
    const megabytes = Math.round(held / 1_048_576)
    this.#target.onNotice?.(
      `The anchor slot ${anchor} keeps ${megabytes} MB of write-ahead log that no server needs, until a transaction ends: ${transactionText(oldest)}`,
    )
  }

  #report(outcome: AnchorAdvance): void {
    if (outcome === this.#last) return
    this.#last = outcome
    const { anchor } = this.#request
    if (outcome === 'held')
      this.#target.onNotice?.(`The anchor slot ${anchor} is read by another process, such as a server of version 0.1, which advances it`)
    if (outcome === 'slow')
      this.#target.onNotice?.(
        `Advancing the anchor slot ${anchor} takes too long: an old open transaction makes Postgres read much of its log again`,
      )
  }
}
