import type pg from 'pg'
import type { Lsn } from '../../replication/lsn.ts'
import type { RelationMessage } from '../../replication/pgoutput/message.ts'
import type { PublishedRelations } from '../../replication/published-relations.ts'
import { faultOf, type ReplicationFault } from '../../replication/replication-fault.ts'
import type { ReplicationCheck, ReplicationReceiver, ReplicationSession, ReplicationStatus } from '../../replication/replication-port.ts'
import type { Table } from '../../replication/table.ts'
import { transactionsSeen } from '../checks/visibility.ts'
import { AnchorAdvancer } from './anchor-advancer.ts'
import { publicationOids, type PublicationSpec } from './publication.ts'
import { lookAtPublished } from './published-relations.ts'
import { dropClient } from './drop-client.ts'
import type { ReplicationConnection } from './replication-connection.ts'
import { currentLsn, listSlots } from './slot.ts'
import { loadTable } from './table-catalog.ts'

export interface ReplicationTarget {
  /** How `pg` connects; the role needs REPLICATION and may not go through a pooler. */
  readonly connection: pg.ClientConfig
  /** The first part of the slots' names: lower case letters, digits, underscores. */
  readonly slotBase: string
  /** A slot that is gone with the connection, and no anchor: every reconnect is a new epoch, and nothing is left behind. */
  readonly temporarySlot: boolean
  readonly publications: readonly PublicationSpec[]
  /** Shown in the name of the slot that this node reads. */
  readonly node: string
  /** Nodes as the names of copies show them that are no peers: other processes of this server. Default none. */
  readonly siblings?: ReadonlySet<string>
  /** A node that is further behind than this does not hold the anchor back. */
  readonly windowBytes: number
  /** For logs: what an operator should know. Each sentence comes once until another one does. */
  readonly onNotice?: (sentence: string) => void
}

/** What outlives a connection. */
export interface SourceMemory {
  /** Of this source alone, so that sessions which a cut network left behind on the server can be recognized. */
  readonly applicationName: string
  attached: boolean
  /** The last anchor that was copied. */
  anchor: string | null
  /** An anchor that has to be replaced, because a publication was created after it. */
  rejected: string | null
  epoch: string | null
  readonly published: PublishedRelations
  /** Names of copies that this node has made: those that linger are no other node's. */
  readonly copies: Set<string>
}

export interface Attached {
  readonly catalog: pg.Client
  readonly stream: ReplicationConnection
  readonly slotName: string
  readonly anchor: string | null
  readonly oids: string
}

/** A connection that streams, and a session that reads the catalog meanwhile. */
export class PostgresSession implements ReplicationSession {
  readonly slotName: string
  readonly #target: ReplicationTarget
  readonly #memory: SourceMemory
  readonly #catalog: pg.Client
  readonly #stream: ReplicationConnection
  readonly #anchor: string | null
  readonly #oids: string
  readonly #advancer: AnchorAdvancer | null
  #catalogFree: Promise<unknown> = Promise.resolve()

  constructor(target: ReplicationTarget, memory: SourceMemory, { catalog, stream, slotName, anchor, oids }: Attached) {
    this.#target = target
    this.#memory = memory
    this.#catalog = catalog
    this.#stream = stream
    this.slotName = slotName
    this.#anchor = anchor
    this.#oids = oids
    this.#advancer =
      anchor === null
        ? null
        : new AnchorAdvancer({
            anchor,
            slotBase: target.slotBase,
            windowBytes: target.windowBytes,
            connection: { ...target.connection, ...CONNECTION_LIMITS },
            ...(target.onNotice === undefined ? {} : { onNotice: target.onNotice }),
          })
  }

  start(from: Lsn, receiver: ReplicationReceiver): void {
    // A stopping Postgres ends ordinary sessions at once, and then waits until its walsenders have had everything
    // confirmed, which never happens here: so the stream is dropped as soon as the catalog session ends.
    const lost = (fault: ReplicationFault): void => {
      if (this.#stream.receiver !== receiver) return
      this.destroy()
      receiver.failed(fault)
    }
    this.#catalog.on('error', (error) => lost(faultOf(error)))
    this.#catalog.on('end', () => lost({ kind: 'unreachable', message: 'the connection was closed' }))
    this.#stream.start({ slot: this.slotName, publications: this.#target.publications.map((spec) => spec.name), from }, receiver)
  }

  sendStatus(status: ReplicationStatus): void {
    this.#stream.sendStatus(status)
  }

  pause(): void {
    this.#stream.pause()
  }

  resume(): void {
    this.#stream.resume()
  }

  loadTable(relation: RelationMessage, xid: number | null): Promise<Table> {
    return this.#onCatalog(async () => {
      if (xid !== null) await transactionsSeen(this.#catalog, { xids: [xid], waits: true })
      return loadTable(this.#catalog, relation)
    })
  }

  check(): Promise<ReplicationCheck> {
    return this.#onCatalog(() => this.#check())
  }

  async #check(): Promise<ReplicationCheck> {
    const { publications, slotBase, siblings } = this.#target
    const oids = oidText(await publicationOids(this.#catalog, publications))
    if (oids !== this.#oids)
      return { serverLsn: await currentLsn(this.#catalog), publicationsChanged: true, anchorLost: false, gaps: [], peers: [] }
    const look = { publications, anchor: this.#anchor, isNewSlot: false }
    const { gaps, serverLsn } = await lookAtPublished(this.#catalog, this.#memory.published, look)
    const slots = await listSlots(this.#catalog, slotBase)
    const anchor = slots.find(({ name }) => name === this.#anchor)
    return {
      serverLsn,
      publicationsChanged: false,
      anchorLost: this.#anchor !== null && (anchor === undefined || anchor.lostBecause !== null),
      gaps,
      peers: slots.flatMap(({ name, node }) =>
        node === null || this.#memory.copies.has(name) || siblings?.has(node) === true ? [] : [node],
      ),
    }
  }

  async advanceAnchor(): Promise<void> {
    await this.#advancer?.advance((work) => this.#onCatalog(() => work(this.#catalog)))
  }

  /** `pg` takes one question at a time. */
  #onCatalog<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#catalogFree.then(work)
    this.#catalogFree = done.catch(() => {})
    return done
  }

  async close(): Promise<void> {
    this.#advancer?.close()
    await this.#stream.close()
    dropClient(this.#catalog)
  }

  destroy(): void {
    this.#advancer?.close()
    this.#stream.destroy()
    dropClient(this.#catalog)
  }
}

export const CONNECTION_LIMITS = { keepAlive: true, connectionTimeoutMillis: 10_000 } as const

/** For comparison. */
export function oidText(oids: ReadonlyMap<string, number>): string {
  return [...oids]
    .map(([name, oid]) => `${name}=${oid}`)
    .sort()
    .join()
}
