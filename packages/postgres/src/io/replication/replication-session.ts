import { createHash, randomBytes } from 'node:crypto'
import pg from 'pg'
import type { Lsn } from '../../replication/lsn.ts'
import type { RelationMessage } from '../../replication/pgoutput/message.ts'
import { PublishedRelations } from '../../replication/published-relations.ts'
import { faultOf, type ErrorLike, type ReplicationFault } from '../../replication/replication-fault.ts'
import type {
  AttachOutcome,
  ReplicationCheck,
  ReplicationPort,
  ReplicationReceiver,
  ReplicationSession,
  ReplicationStatus,
} from '../../replication/replication-port.ts'
import type { EpochReason } from '../../replication/replication-state.ts'
import type { Table } from '../../replication/table.ts'
import { transactionsSeen } from '../checks/visibility.ts'
import { AnchorAdvancer } from './anchor-advancer.ts'
import { AnchorHeld, takeAnchor } from './anchor.ts'
import { ensurePublications, publicationOids, type PublicationSpec } from './publication.ts'
import { lookAtPublished, type Published } from './published-relations.ts'
import { dropClient } from './drop-client.ts'
import { ReplicationConnection, SESSION_SQL } from './replication-connection.ts'
import { copySlot, createSlot, currentLsn, listSlots, newCopyName, newSlotName } from './slot.ts'
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

const CONNECT_TIMEOUT_MS = 10_000
const QUERY_TIMEOUT_MS = 30_000

/** The way to a real Postgres. */
export function replicationPort(target: ReplicationTarget): ReplicationPort {
  const memory: Memory = {
    applicationName: `tidewire feed ${randomBytes(6).toString('hex')}`,
    attached: false,
    anchor: null,
    rejected: null,
    epoch: null,
    published: new PublishedRelations(),
    copies: new Set(),
  }
  return {
    attach: async ({ replaceSlot }, signal) => {
      const attempt = new Attempt(target, memory)
      let abort = (): void => {}
      // A client that is dropped while it connects may never say so.
      const aborted = new Promise<never>((_resolve, reject) => {
        abort = () => reject(new AttachFault({ kind: 'unreachable', message: 'given up' }))
      })
      signal.addEventListener('abort', abort)
      try {
        const outcome = await Promise.race([attempt.run(replaceSlot), aborted])
        memory.attached = true
        return outcome
      } catch (error) {
        attempt.abandon()
        return { ok: false, fault: attachFault(error) }
      } finally {
        signal.removeEventListener('abort', abort)
      }
    },
  }
}

/** What outlives a connection. */
interface Memory {
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

/** Ends an attempt for a reason that no SQLSTATE gives. */
class AttachFault extends Error {
  readonly fault: ReplicationFault

  constructor(fault: ReplicationFault) {
    super(fault.message)
    this.fault = fault
  }
}

function attachFault(error: unknown): ReplicationFault {
  if (error instanceof AttachFault) return error.fault
  if (error instanceof AnchorHeld) return { kind: 'slot-held', message: error.message }
  return faultOf(error as ErrorLike)
}

interface TakenSlot {
  readonly name: string
  readonly anchor: string | null
  readonly reason: EpochReason
}

class Attempt {
  readonly #target: ReplicationTarget
  readonly #memory: Memory
  readonly #catalog: pg.Client
  #stream: ReplicationConnection | null = null
  #abandoned = false

  constructor(target: ReplicationTarget, memory: Memory) {
    this.#target = target
    this.#memory = memory
    this.#catalog = new pg.Client({ ...target.connection, ...LIMITS, query_timeout: QUERY_TIMEOUT_MS })
    this.#catalog.on('error', () => {})
  }

  async run(replaceSlot: boolean): Promise<AttachOutcome> {
    const { publications, temporarySlot } = this.#target
    const { applicationName, attached } = this.#memory
    const catalog = this.#catalog
    await catalog.connect()
    await catalog.query(`${SESSION_SQL}; set application_name = ${pg.escapeLiteral(applicationName)}`)
    if (attached) await endLeftovers(catalog, applicationName)
    const begunLsn = await currentLsn(catalog)
    const stream = await ReplicationConnection.open({ ...this.#target.connection, ...LIMITS }, applicationName)
    this.#stream = stream
    if (this.#abandoned) {
      stream.destroy()
      throw new AttachFault({ kind: 'unreachable', message: 'given up' })
    }
    const [system] = (await stream.query('IDENTIFY_SYSTEM')).rows as Record<string, unknown>[]
    const slot = temporarySlot ? await this.#temporary(replaceSlot) : await this.#anchor(stream, replaceSlot)
    const oids = oidText(await publicationOids(catalog, publications))
    const epoch = epochOf([system?.['systemid'], system?.['timeline'], system?.['dbname'], slot.anchor ?? slot.name, oids])
    const { gaps, serverLsn } = await this.#gaps(slot, epoch)
    const confirmedLsn = temporarySlot ? await createSlot(stream, slot.name, true) : await this.#copy(stream, slot)
    const session = new PostgresSession(this.#target, this.#memory, { catalog, stream, slotName: slot.name, anchor: slot.anchor, oids })
    return { ok: true, session, epoch, reason: slot.reason, confirmedLsn, begunLsn, serverLsn, gaps }
  }

  abandon(): void {
    this.#abandoned = true
    this.#stream?.destroy()
    dropClient(this.#catalog)
  }

  async #temporary(replaceSlot: boolean): Promise<TakenSlot> {
    const created = await ensurePublications(this.#catalog, this.#target.publications)
    const reason = replaceSlot || created.length > 0 ? 'publication-changed' : 'created'
    return { name: newSlotName(this.#target.slotBase, true), anchor: null, reason }
  }

  async #anchor(stream: ReplicationConnection, replaceSlot: boolean): Promise<TakenSlot> {
    const { slotBase, publications, node, onNotice } = this.#target
    const before = (await listSlots(this.#catalog, slotBase)).find(({ role }) => role === 'anchor')
    const created = await ensurePublications(this.#catalog, publications)
    if (created.length > 0 && before !== undefined) this.#memory.rejected = before.name
    if (replaceSlot) this.#memory.rejected = this.#memory.anchor
    const { rejected } = this.#memory
    const anchor = await takeAnchor(this.#catalog, stream, { slotBase, rejected, onSlow: (sentence) => onNotice?.(sentence) })
    this.#memory.rejected = null
    return { name: newCopyName(slotBase, node), anchor: anchor.name, reason: anchor.reason }
  }

  /** Of an anchor that was just created nothing is read that its publications did not publish. */
  async #gaps({ anchor, reason }: TakenSlot, epoch: string): Promise<Published> {
    const memory = this.#memory
    if (memory.epoch !== epoch) memory.published.restart()
    const isNewSlot = memory.epoch !== epoch && (reason !== 'found' || anchor === null)
    memory.epoch = epoch
    return lookAtPublished(this.#catalog, memory.published, { publications: this.#target.publications, anchor, isNewSlot })
  }

  async #copy(stream: ReplicationConnection, { anchor, name }: TakenSlot): Promise<Lsn> {
    this.#memory.anchor = anchor
    this.#memory.copies.add(name)
    try {
      return await copySlot(stream, anchor!, name)
    } catch (error) {
      const { code, message } = error as { readonly code?: unknown; readonly message: string }
      // Another node replaced the anchor in this moment, or the name is taken: the next attempt finds or makes another one.
      if (code === '42704' || code === '42710') throw new AnchorHeld(message)
      if (code === '55000') throw new AttachFault({ kind: 'slot-lost', message })
      throw error
    }
  }
}

interface Attached {
  readonly catalog: pg.Client
  readonly stream: ReplicationConnection
  readonly slotName: string
  readonly anchor: string | null
  readonly oids: string
}

class PostgresSession implements ReplicationSession {
  readonly slotName: string
  readonly #target: ReplicationTarget
  readonly #memory: Memory
  readonly #catalog: pg.Client
  readonly #stream: ReplicationConnection
  readonly #anchor: string | null
  readonly #oids: string
  readonly #advancer: AnchorAdvancer | null
  #catalogFree: Promise<unknown> = Promise.resolve()

  constructor(target: ReplicationTarget, memory: Memory, { catalog, stream, slotName, anchor, oids }: Attached) {
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
            connection: { ...target.connection, ...LIMITS },
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

const LIMITS = { keepAlive: true, connectionTimeoutMillis: CONNECT_TIMEOUT_MS } as const

/** Sessions of this very source that the server has not noticed to be dead would hold the slot until it does. */
async function endLeftovers(catalog: pg.Client, applicationName: string): Promise<void> {
  await catalog.query(
    `select pg_catalog.pg_terminate_backend(pid, 2000) from pg_catalog.pg_stat_activity
     where application_name = $1 and pid <> pg_catalog.pg_backend_pid() and usename = current_user`,
    [applicationName],
  )
}

function oidText(oids: ReadonlyMap<string, number>): string {
  return [...oids]
    .map(([name, oid]) => `${name}=${oid}`)
    .sort()
    .join()
}

/** Positions can be compared when all of this is the same: the database, its timeline, the anchor, the publications. */
function epochOf(parts: readonly unknown[]): string {
  return createHash('sha256')
    .update(JSON.stringify(parts.map(String)))
    .digest('hex')
    .slice(0, 12)
}
