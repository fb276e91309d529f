import type pg from 'pg'
import type { Lsn } from '../../replication/lsn.ts'
import type { RelationMessage } from '../../replication/pgoutput/message.ts'
import type { ReplicationStatus } from '../../replication/pgoutput/stream-message.ts'
import { ReplicationError, faultOf } from '../../replication/replication-fault.ts'
import type { ReplicationCheck, ReplicationReceiver, ReplicationSession } from '../../replication/replication-port.ts'
import type { Table } from '../../replication/table.ts'
import { transactionsVisible } from '../checks/visibility.ts'
import { dropClient } from '../sessions/client.ts'
import { AnchorAdvancer } from './anchor-advancer.ts'
import { publicationVersion } from './publication.ts'
import { readPublished } from './published-relations.ts'
import type { ReplicationConnection } from './replication-connection.ts'
import { listSlots, type Slot } from './slot.ts'
import type { ReplicationTarget, SourceMemory } from './replication-target.ts'
import { loadTable } from './table-catalog.ts'

export interface Connections {
  readonly catalog: pg.Client
  readonly stream: ReplicationConnection
  readonly slotName: string
  /** `null`: a slot of its own is read. */
  readonly anchor: string | null
  readonly version: string
}

/** A connection that streams, and a session that reads the catalog meanwhile. */
export class PostgresSession implements ReplicationSession {
  readonly #target: ReplicationTarget
  readonly #memory: SourceMemory
  readonly #connections: Connections
  readonly #advancer: AnchorAdvancer | null
  #catalogFree: Promise<unknown> = Promise.resolve()

  constructor(target: ReplicationTarget, memory: SourceMemory, connections: Connections) {
    this.#target = target
    this.#memory = memory
    this.#connections = connections
    this.#advancer = connections.anchor === null ? null : new AnchorAdvancer(connections.anchor, target)
  }

  start(from: Lsn, receiver: ReplicationReceiver): void {
    const { catalog, stream, slotName } = this.#connections
    // A stopping Postgres ends ordinary sessions at once, and then waits until its walsenders have had everything
    // confirmed, which never happens here: so the stream is dropped as soon as the catalog session ends.
    catalog.on('error', (error) => stream.fail(faultOf(error)))
    catalog.on('end', () => stream.fail({ kind: 'unreachable', message: 'the connection was closed' }))
    const publications = this.#target.publications.map((spec) => spec.name)
    stream.start(slotName, publications, from, receiver)
  }

  sendStatus(status: ReplicationStatus): void {
    this.#connections.stream.sendStatus(status)
  }

  pause(): void {
    this.#connections.stream.pause()
  }

  resume(): void {
    this.#connections.stream.resume()
  }

  loadTable(relation: RelationMessage, xid: number | null): Promise<Table> {
    return this.#onCatalog(async (catalog) => {
      if (xid !== null) await transactionsVisible(catalog, { xids: [xid], waits: true })
      return loadTable(catalog, relation)
    })
  }

  check(): Promise<ReplicationCheck> {
    return this.#onCatalog((catalog) => this.#check(catalog))
  }

  async #check(catalog: pg.Client): Promise<ReplicationCheck> {
    const { publications, slotBase, siblings } = this.#target
    const { anchor, version } = this.#connections
    if ((await publicationVersion(catalog, publications)) !== version)
      throw new ReplicationError({ kind: 'publication-changed', message: 'a publication was dropped or created again' })
    const seen = await readPublished(catalog, this.#memory.published, { publications, anchor, isNewSlot: false })
    const slots = await listSlots(catalog, slotBase)
    if (anchor !== null && !slots.some(({ name, lostBecause }) => name === anchor && lostBecause === null))
      throw new ReplicationError({ kind: 'slot-lost', message: 'the anchor slot is gone, or Postgres threw away WAL that it needs' })
    const isPeer = ({ name, node }: Slot): boolean => node !== null && !this.#memory.copies.has(name) && !siblings.has(node)
    return { ...seen, peers: slots.filter(isPeer).map(({ node }) => node!) }
  }

  async advanceAnchor(): Promise<void> {
    await this.#advancer?.advance((work) => this.#onCatalog(work))
  }

  /** `pg` takes one question at a time. */
  #onCatalog<T>(work: (catalog: pg.Client) => Promise<T>): Promise<T> {
    const done = this.#catalogFree.then(() => work(this.#connections.catalog))
    this.#catalogFree = done.catch(() => {})
    return done
  }

  async close(): Promise<void> {
    this.#advancer?.close()
    await this.#connections.stream.close()
    dropClient(this.#connections.catalog)
  }

  destroy(): void {
    this.#advancer?.close()
    this.#connections.stream.destroy()
    dropClient(this.#connections.catalog)
  }
}
