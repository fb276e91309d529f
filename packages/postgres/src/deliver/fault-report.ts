import type { ChangesFault } from '@tidewire/protocol'
import type { TableName } from '../catalog/catalog-table.ts'
import { errorText } from '../catalog/database-fault.ts'
import { getOrMake } from '../catalog/multimap.ts'
import type { CircuitBreaker } from '../decide/circuit-breaker.ts'
import type { DecisionFault } from '../decide/decision.ts'
import type { FeedRuntime } from '../feed-runtime.ts'
import type { Table } from '../replication/table.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import type { Notice } from '../subscribe/request/change-entry.ts'
import type { FeedChannel } from '../subscribe/feed-channel.ts'
import { audienceKey, subscribersOf, type PendingDelivery } from '../subscribe/audience.ts'
import type { IsolatedWork } from './isolated-dispatcher.ts'
import type { MissedChanges } from './missed-changes.ts'

export interface FeedListener {
  /** Rows of tables that are not for clients, in their order among the others. */
  onRow?(change: RowChange): void
  /** For logs and metrics: what failed, and for which role. Never sent to clients, and never holds a row. */
  onFault?(fault: { readonly kind: string; readonly table: string | null; readonly role: string | null; readonly message: string }): void
}

/** Messages that are remembered for a channel, or for the log. A full list is cleared. */
const MAX_REMEMBERED = 1_000

/** A channel gets the same notice, and the log the same fault, at most this often. */
const NOTICE_INTERVAL_MS = 10_000

/** Notifies the channels that a fault concerns, logs it, and records it in the circuit breaker. */
export class FaultReport {
  readonly #listener: FeedListener
  readonly #runtime: FeedRuntime
  readonly #breaker: CircuitBreaker
  readonly #noticed = new WeakMap<FeedChannel, Map<string, number>>()
  readonly #missed: MissedChanges
  readonly #logged = new Map<string, number>()
  count = 0

  constructor(listener: FeedListener, runtime: FeedRuntime, breaker: CircuitBreaker, missed: MissedChanges) {
    this.#listener = listener
    this.#runtime = runtime
    this.#breaker = breaker
    this.#missed = missed
  }

  /** Faults of the ordered path. Answers what is decided again in isolation: what took too long together may be fast alone. */
  ofBatch(faults: readonly DecisionFault[]): PendingDelivery[] {
    const slow = faults.filter(({ kind, timedOut }) => kind === 'policy' && timedOut).flatMap(({ deliveries }) => deliveries)
    for (const { audience } of slow) this.#breaker.suspect(audience)
    this.final(faults.filter(({ kind, timedOut }) => kind !== 'policy' || !timedOut))
    return slow
  }

  /** Faults of deliveries that are not decided again: a delivery that took too long is missed. */
  final(faults: readonly DecisionFault[]): void {
    for (const fault of faults) {
      const [first] = fault.deliveries
      if (first === undefined) continue
      const { table, role } = first.audience
      this.log(fault.kind, table, role, fault.message)
      if (this.#isNews(fault)) this.#notify(fault)
      // A policy or filter that fails denies the row, as a SELECT would.
      if (fault.kind === 'row' || fault.timedOut) for (const delivery of fault.deliveries) this.#miss(delivery)
    }
  }

  /** Returns whether the delivery's audience gets nothing for now. If so, schedules the notice of the gap. */
  withholds(delivery: PendingDelivery): boolean {
    if (this.#breaker.openUntil(delivery.audience, this.#runtime.uptime()) === 0) return false
    this.#miss(delivery)
    return true
  }

  isolatedFailed({ audiences, channels }: IsolatedWork, reason: string): void {
    for (const { table, role } of audiences) this.log('withheld', table, role, reason)
    this.#missed.add(channels, 0)
  }

  /** The channels were not decided about: their identities changed too often meanwhile. */
  missed(channels: ReadonlySet<FeedChannel>): void {
    if (channels.size > 0) this.log('withheld', null, null, 'identities changed too often while changes were decided')
    this.#missed.add(channels, 0)
  }

  undelivered({ table }: RowChange, error: unknown, channels: readonly FeedChannel[]): void {
    this.log('row', table, null, errorText(error))
    for (const channel of channels) {
      this.#notice(channel, { message: `A change of ${table.schema}.${table.name} could not be delivered`, fault: WITHHELD })
    }
    this.#missed.add(channels, 0)
  }

  unprepared(table: Table, error: unknown, channels: readonly FeedChannel[]): void {
    this.log('table', table, null, errorText(error))
    for (const channel of channels)
      this.#notice(channel, {
        message: `Changes of ${table.schema}.${table.name} are withheld: the table could not be read`,
        fault: WITHHELD,
      })
  }

  /** Runs a callback of the embedding program. Logs what it throws. */
  guard(kind: string, table: TableName, call: () => void): void {
    try {
      call()
    } catch (error) {
      this.log(kind, table, null, errorText(error))
    }
  }

  /** Records a fault of policies or filters in the breaker. Returns whether it is new to the channels; a row fault always is. */
  #isNews(fault: DecisionFault): boolean {
    if (fault.kind === 'row') return true
    const audiences = new Map(fault.deliveries.map(({ audience }) => [audienceKey(audience), audience]))
    const nowMs = this.#runtime.uptime()
    return [...audiences.values()].map((audience) => this.#breaker.failed(audience, fault, nowMs)).includes(true)
  }

  #notify({ kind, timedOut, deliveries }: DecisionFault): void {
    const { schema, name } = deliveries[0]!.audience.table
    const table = `${schema}.${name}`
    const policies = {
      message: `Changes of ${table} are withheld: its policies ${timedOut ? 'took too long' : 'failed'} for you`,
      fault: { code: 'policy-failed', hint: `Look at the SELECT policies of ${table}; "Why?" in the inspector shows the error.` },
    } as const
    const notice =
      kind === 'row'
        ? { message: `A change of ${table} could not be decided`, fault: WITHHELD }
        : kind === 'filter'
          ? { message: `A change of ${table} could not be compared with your filter`, fault: FILTER }
          : policies
    for (const channel of channelsOf(deliveries)) this.#notice(channel, notice)
  }

  #notice(channel: FeedChannel, notice: Notice): void {
    const noticed = getOrMake(this.#noticed, channel, () => new Map<string, number>())
    if (this.#isDue(noticed, notice.message)) channel.warn(notice)
  }

  #isDue(said: Map<string, number>, message: string): boolean {
    const nowMs = this.#runtime.uptime()
    const last = said.get(message)
    if (last !== undefined && nowMs - last < NOTICE_INTERVAL_MS) return false
    if (said.size >= MAX_REMEMBERED) said.clear()
    said.set(message, nowMs)
    return true
  }

  /** Until the audience's circuit closes, more may be missed. */
  #miss(delivery: PendingDelivery): void {
    const nowMs = this.#runtime.uptime()
    const channels = [...channelsOf([delivery])]
    // A replaying channel gets the change from its replay.
    const missing = delivery.only === undefined ? channels.filter(({ receives }) => receives) : channels
    this.#missed.add(missing, Math.max(0, this.#breaker.openUntil(delivery.audience, nowMs) - nowMs))
  }

  log(kind: string, of: TableName | null, role: string | null, message: string): void {
    this.count++
    const table = of === null ? null : `${of.schema}.${of.name}`
    if (!this.#isDue(this.#logged, `${kind} ${table} ${role} ${message}`)) return
    try {
      this.#listener.onFault?.({ kind, table, role, message })
    } catch {
      // A log that cannot be written is no reason to stop.
    }
  }
}

const WITHHELD: ChangesFault = { code: 'changes-withheld', hint: 'Load your data again. The log of the server says what failed.' }
const FILTER: ChangesFault = { code: 'changes-withheld', hint: 'Change the filter: Postgres cannot evaluate it for every row.' }

function channelsOf(deliveries: readonly PendingDelivery[]): Set<FeedChannel> {
  return new Set(deliveries.flatMap((delivery) => [...subscribersOf(delivery)].map(({ channel }) => channel)))
}
