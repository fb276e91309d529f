import { createHash, randomBytes } from 'node:crypto'
import pg from 'pg'
import type { Lsn } from '../../replication/lsn.ts'
import type { RelationMessage } from '../../replication/pgoutput/message.ts'
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
import { ensurePublications, publicationOids, type PublicationSpec } from './publication.ts'
import { ReplicationConnection, SESSION_SQL } from './replication-connection.ts'
import { createSlot, currentLsn, dropSlot, listSlots, newSlotName } from './slot.ts'
import { loadTable } from './table-catalog.ts'
import { transactionsSeen } from '../checks/visibility.ts'

export interface ReplicationTarget {
  /** How `pg` connects; the role needs REPLICATION and may not go through a pooler. */
  readonly connection: pg.ClientConfig
  /** The first part of the slot's name: lower case letters, digits, underscores. */
  readonly slotBase: string
  /** A temporary slot is gone with the connection: every reconnect is a new epoch, and nothing is ever left behind. */
  readonly temporarySlot: boolean
  readonly publications: readonly PublicationSpec[]
}

const CONNECT_TIMEOUT_MS = 10_000
const QUERY_TIMEOUT_MS = 30_000

/** The way to a real Postgres. */
export function replicationPort(target: ReplicationTarget): ReplicationPort {
  // Ours alone, so that sessions which a cut network left behind on the server can be told from everybody else's.
  const applicationName = `tidewire feed ${randomBytes(6).toString('hex')}`
  let attached = false
  return {
    attach: async ({ replaceSlot }, signal) => {
      const attempt = new Attempt(target, applicationName)
      let abort = (): void => {}
      // A client that is dropped while it connects may never say so.
      const aborted = new Promise<never>((_resolve, reject) => {
        abort = () => reject(new AttachFault({ kind: 'unreachable', message: 'given up' }))
      })
      signal.addEventListener('abort', abort)
      try {
        const outcome = await Promise.race([attempt.run(replaceSlot, attached), aborted])
        attached = true
        return outcome
      } catch (error) {
        attempt.abandon()
        return { ok: false, fault: error instanceof AttachFault ? error.fault : faultOf(error as ErrorLike) }
      } finally {
        signal.removeEventListener('abort', abort)
      }
    },
  }
}

/** Ends an attempt for a reason that no SQLSTATE tells. */
class AttachFault extends Error {
  readonly fault: ReplicationFault

  constructor(fault: ReplicationFault) {
    super(fault.message)
    this.fault = fault
  }
}

interface TakenSlot {
  readonly name: string
  readonly confirmedLsn: Lsn
  readonly reason: EpochReason
}

class Attempt {
  readonly #target: ReplicationTarget
  readonly #applicationName: string
  readonly #catalog: pg.Client
  #stream: ReplicationConnection | null = null
  #abandoned = false

  constructor(target: ReplicationTarget, applicationName: string) {
    this.#target = target
    this.#applicationName = applicationName
    this.#catalog = new pg.Client({ ...target.connection, ...LIMITS, query_timeout: QUERY_TIMEOUT_MS })
    this.#catalog.on('error', () => {})
  }

  async run(replaceSlot: boolean, again: boolean): Promise<AttachOutcome> {
    const { slotBase, temporarySlot, publications } = this.#target
    const catalog = this.#catalog
    await catalog.connect()
    await catalog.query(`${SESSION_SQL}; set application_name = ${pg.escapeLiteral(this.#applicationName)}`)
    if (again) await endLeftovers(catalog, this.#applicationName)
    if (!temporarySlot) await lockSlot(catalog, slotBase)
    const stream = await ReplicationConnection.open({ ...this.#target.connection, ...LIMITS }, this.#applicationName)
    this.#stream = stream
    if (this.#abandoned) {
      stream.destroy()
      throw new AttachFault({ kind: 'unreachable', message: 'given up' })
    }
    const created = await ensurePublications(catalog, publications)
    const slot = await this.#takeSlot(stream, replaceSlot || created.length > 0)
    const oids = await publicationOids(catalog, publications)
    const [system] = (await stream.query('IDENTIFY_SYSTEM')).rows as Record<string, unknown>[]
    const epoch = epochOf([system?.['systemid'], system?.['timeline'], system?.['dbname'], slot.name, oidText(oids)])
    const session = new PostgresSession(catalog, stream, slot.name, publications, oidText(oids))
    return { ok: true, session, epoch, reason: slot.reason, confirmedLsn: slot.confirmedLsn }
  }

  abandon(): void {
    this.#abandoned = true
    this.#stream?.destroy()
    dropClient(this.#catalog)
  }

  async #takeSlot(stream: ReplicationConnection, replace: boolean): Promise<TakenSlot> {
    const { slotBase, temporarySlot } = this.#target
    const create = async (reason: EpochReason): Promise<TakenSlot> => {
      const name = newSlotName(slotBase, temporarySlot)
      return { name, confirmedLsn: await createSlot(stream, name, temporarySlot), reason }
    }
    if (temporarySlot) return create(replace ? 'publication-changed' : 'created')
    const slots = (await listSlots(this.#catalog, slotBase)).filter((slot) => !slot.temporary)
    const usable = slots.filter((slot) => slot.lostBecause === null && slot.confirmedLsn !== null)
    const held = usable.find((slot) => slot.activePid !== null)
    if (held !== undefined) throw slotHeld(`the slot ${held.name} is read by process ${held.activePid}`)
    const [keep] = replace ? [] : usable
    // Whatever else carries our name would keep WAL for ever.
    for (const slot of slots) if (slot !== keep) await this.#drop(slot.name)
    if (keep !== undefined) return { name: keep.name, confirmedLsn: keep.confirmedLsn ?? 0n, reason: 'found' }
    return create(usable.length > 0 ? 'publication-changed' : slots.length > 0 ? 'lost' : 'created')
  }

  async #drop(name: string): Promise<void> {
    const drop = await dropSlot(this.#catalog, name)
    if (!drop.ok && drop.code === 'active') throw slotHeld(drop.detail)
  }
}

class PostgresSession implements ReplicationSession {
  readonly slotName: string
  readonly #catalog: pg.Client
  readonly #stream: ReplicationConnection
  readonly #publications: readonly PublicationSpec[]
  readonly #oids: string

  constructor(catalog: pg.Client, stream: ReplicationConnection, slotName: string, publications: readonly PublicationSpec[], oids: string) {
    this.#catalog = catalog
    this.#stream = stream
    this.slotName = slotName
    this.#publications = publications
    this.#oids = oids
  }

  start(from: Lsn, receiver: ReplicationReceiver): void {
    // A stopping Postgres tells ordinary sessions at once, and then waits until its walsenders have had everything
    // confirmed, which we never do: so the stream is dropped as soon as the catalog session is told.
    const lost = (fault: ReplicationFault): void => {
      if (this.#stream.receiver !== receiver) return
      this.destroy()
      receiver.failed(fault)
    }
    this.#catalog.on('error', (error) => lost(faultOf(error)))
    this.#catalog.on('end', () => lost({ kind: 'unreachable', message: 'the connection was closed' }))
    this.#stream.start({ slot: this.slotName, publications: this.#publications.map((spec) => spec.name), from }, receiver)
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

  async loadTable(relation: RelationMessage, xid: number | null): Promise<Table> {
    if (xid !== null) await transactionsSeen(this.#catalog, { xids: [xid], waits: true })
    return loadTable(this.#catalog, relation)
  }

  async check(): Promise<ReplicationCheck> {
    const oids = oidText(await publicationOids(this.#catalog, this.#publications))
    return { serverLsn: await currentLsn(this.#catalog), publicationsChanged: oids !== this.#oids }
  }

  async close(): Promise<void> {
    await this.#stream.close()
    dropClient(this.#catalog)
  }

  destroy(): void {
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

/** Two processes that both find no slot must not make two. The lock goes with the session. */
async function lockSlot(catalog: pg.Client, slotBase: string): Promise<void> {
  const { rows } = await catalog.query<{ locked: boolean }>(
    `select pg_catalog.pg_try_advisory_lock(pg_catalog.hashtext('tidewire feed'), pg_catalog.hashtext($1)) as locked`,
    [slotBase],
  )
  if (rows[0]?.locked !== true) throw slotHeld(`another process reads from the slot ${slotBase}`)
}

function slotHeld(message: string): AttachFault {
  return new AttachFault({ kind: 'slot-held', message })
}

function oidText(oids: ReadonlyMap<string, number>): string {
  return [...oids]
    .map(([name, oid]) => `${name}=${oid}`)
    .sort()
    .join()
}

/** Positions can be compared when all of this is the same: the database, its timeline, the slot, the publications. */
function epochOf(parts: readonly unknown[]): string {
  return createHash('sha256')
    .update(JSON.stringify(parts.map(String)))
    .digest('hex')
    .slice(0, 12)
}

/** Ends a session without waiting for it, whatever state it is in. */
function dropClient(client: pg.Client): void {
  void client.end().catch(() => {})
  ;(client as unknown as { readonly connection: { readonly stream: { destroy(): void } } }).connection.stream.destroy()
}
