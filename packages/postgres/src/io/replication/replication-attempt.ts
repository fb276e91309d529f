import { createHash, randomBytes } from 'node:crypto'
import pg from 'pg'
import { codeOf } from '../../catalog/database-fault.ts'
import { logName, parseLsn, type Lsn } from '../../replication/lsn.ts'
import { PublishedRelations } from '../../replication/published-relations.ts'
import { ReplicationError, faultOf, TAKES_NO_WRITES } from '../../replication/replication-fault.ts'
import type { Attached, EpochReason, ReplicationPort } from '../../replication/replication-port.ts'
import { dropClient, newClient } from '../sessions/client.ts'
import { slotHeld, takeAnchor } from './anchor.ts'
import { ensurePublications, publicationVersion } from './publication.ts'
import { readPublished } from './published-relations.ts'
import { ReplicationConnection, SESSION_SQL } from './replication-connection.ts'
import { PostgresSession } from './replication-session.ts'
import type { ReplicationTarget, SourceMemory } from './replication-target.ts'
import { copySlot, createSlot, currentLsn, listSlots, newCopyName, newSlotName } from './slot.ts'

const QUERY_TIMEOUT_MS = 30_000

export function replicationPort(target: ReplicationTarget): ReplicationPort {
  const memory: SourceMemory = {
    applicationName: `tidewire feed ${randomBytes(6).toString('hex')}`,
    prepared: false,
    anchor: null,
    rejected: null,
    epoch: null,
    published: new PublishedRelations(),
    copies: new Set(),
  }
  return {
    attach: async (replaceSlot, signal) => {
      const attempt = new Attempt(target, memory)
      // A client that is dropped while it connects may never say so.
      const aborted = new Promise<never>((_resolve, reject) => signal.addEventListener('abort', () => reject(givenUp())))
      try {
        return await Promise.race([attempt.run(replaceSlot), aborted])
      } catch (error) {
        attempt.abandon()
        return { ok: false, fault: faultOf(error) }
      }
    },
  }
}

function givenUp(): ReplicationError {
  return new ReplicationError({ kind: 'unreachable', message: 'given up' })
}

interface TakenSlot {
  readonly slotName: string
  readonly anchor: string | null
  readonly reason: EpochReason
}

class Attempt {
  readonly #target: ReplicationTarget
  readonly #memory: SourceMemory
  readonly #catalog: pg.Client
  #stream: ReplicationConnection | null = null
  #abandoned = false

  constructor(target: ReplicationTarget, memory: SourceMemory) {
    this.#target = target
    this.#memory = memory
    this.#catalog = newClient({ ...target.connection, query_timeout: QUERY_TIMEOUT_MS })
  }

  async run(replaceSlot: boolean): Promise<Attached> {
    const { publications, temporarySlot, connection, prepare } = this.#target
    const { applicationName, prepared, epoch: lastEpoch } = this.#memory
    const catalog = this.#catalog
    if (!prepared) await prepare?.()
    this.#memory.prepared = true
    if (this.#abandoned) throw givenUp()
    await catalog.connect()
    await catalog.query(`${SESSION_SQL}; set application_name = ${pg.escapeLiteral(applicationName)}`)
    if (lastEpoch !== null) await endLeftovers(catalog, applicationName)
    const begunLsn = await currentLsn(catalog)
    await refuseStandby(catalog)
    const stream = await ReplicationConnection.open(connection, applicationName)
    this.#stream = stream
    if (this.#abandoned) {
      stream.destroy()
      throw givenUp()
    }
    const [system] = (await stream.query('IDENTIFY_SYSTEM')).rows as Record<string, unknown>[]
    const timeline = Number(system?.['timeline'])
    const logBegin = await timelineBegin(stream, timeline)
    const log = logName(timeline, String(system?.['systemid']))
    const slot = temporarySlot ? await this.#temporary(replaceSlot) : await this.#anchor(stream, replaceSlot)
    const { slotName, anchor, reason } = slot
    const version = await publicationVersion(catalog, publications)
    const epoch = hashOf([system?.['systemid'], system?.['timeline'], system?.['dbname'], anchor ?? slotName, version])
    const { gaps, serverLsn } = await this.#gaps(slot, epoch)
    const confirmedLsn = anchor === null ? await createSlot(stream, slotName, true) : await this.#copy(stream, anchor, slotName)
    const session = new PostgresSession(this.#target, this.#memory, { catalog, stream, slotName, anchor, version })
    return { ok: true, session, epoch, log, logBegin, reason, confirmedLsn, begunLsn, serverLsn, gaps }
  }

  abandon(): void {
    this.#abandoned = true
    this.#stream?.destroy()
    dropClient(this.#catalog)
  }

  async #temporary(replaceSlot: boolean): Promise<TakenSlot> {
    const created = await ensurePublications(this.#catalog, this.#target.publications)
    const reason = replaceSlot || created.length > 0 ? 'publication-changed' : 'created'
    return { slotName: newSlotName(this.#target.slotBase, true), anchor: null, reason }
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
    return { slotName: newCopyName(slotBase, node), anchor: anchor.name, reason: anchor.reason }
  }

  /** The anchor was just created: everything that is read from it was published by its publications. */
  async #gaps({ anchor, reason }: TakenSlot, epoch: string): Promise<Pick<Attached, 'gaps' | 'serverLsn'>> {
    const memory = this.#memory
    if (memory.epoch !== epoch) memory.published.restart()
    const isNewSlot = memory.epoch !== epoch && (reason !== 'found' || anchor === null)
    memory.epoch = epoch
    return readPublished(this.#catalog, memory.published, { publications: this.#target.publications, anchor, isNewSlot })
  }

  async #copy(stream: ReplicationConnection, anchor: string, slotName: string): Promise<Lsn> {
    this.#memory.anchor = anchor
    this.#memory.copies.add(slotName)
    try {
      return await copySlot(stream, anchor, slotName)
    } catch (error) {
      const [code, message] = [codeOf(error), (error as Error).message]
      // Another node replaced the anchor in this moment, or the name is taken: the next attempt finds or makes another one.
      if (code === '42704' || code === '42710') throw slotHeld(message)
      if (code === '55000') throw new ReplicationError({ kind: 'slot-lost', message })
      throw error
    }
  }
}

/** Sessions of this very source that the server has not noticed to be dead would hold the slot until it does. */
async function endLeftovers(catalog: pg.Client, applicationName: string): Promise<void> {
  await catalog.query(
    `select pg_catalog.pg_terminate_backend(pid, 2000) from pg_catalog.pg_stat_activity
     where application_name = $1 and pid <> pg_catalog.pg_backend_pid() and usename = current_user`,
    [applicationName],
  )
}

/** Neither an anchor nor a publication can be made on a standby, and what a user may see is not decided there. */
async function refuseStandby(catalog: pg.Client): Promise<void> {
  const { rows } = await catalog.query('select pg_catalog.pg_is_in_recovery() as standby')
  if ((rows as { standby: boolean }[])[0]?.standby === true) throw new ReplicationError({ kind: 'restarting', message: TAKES_NO_WRITES })
}

async function timelineBegin(stream: ReplicationConnection, timeline: number): Promise<Lsn> {
  if (!(timeline > 1)) return 0n
  const [row] = (await stream.query(`TIMELINE_HISTORY ${timeline}`)).rows as { content: Buffer | string }[]
  // A line for each timeline before: its number, where it was left, and why.
  const last =
    String(row?.content ?? '')
      .trim()
      .split('\n')
      .at(-1) ?? ''
  const [, lsn = ''] = last.split('\t')
  return parseLsn(lsn) ?? 0n
}

/** Positions can be compared when all of this is the same: the database, its timeline, the anchor, the publications. */
function hashOf(parts: readonly unknown[]): string {
  return createHash('sha256')
    .update(JSON.stringify(parts.map(String)))
    .digest('hex')
    .slice(0, 12)
}
