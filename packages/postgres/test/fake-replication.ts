import type { FeedRuntime } from '../src/feed-runtime.ts'
import type { RelationMessage } from '../src/replication/pgoutput/message.ts'
import type { ReplicationStatus } from '../src/replication/pgoutput/stream-message.ts'
import type { ReplicationFault } from '../src/replication/replication-fault.ts'
import type {
  AttachOutcome,
  ReplicationCheck,
  ReplicationPort,
  ReplicationReceiver,
  ReplicationSession,
} from '../src/replication/replication-port.ts'
import { describeTable, type Table } from '../src/replication/table.ts'

export const NOTHING_NEW: ReplicationCheck = { serverLsn: 0n, gaps: [], peers: [] }

/** A session whose other end is the test. */
export class FakeSession implements ReplicationSession {
  readonly statuses: ReplicationStatus[] = []
  readonly loads: { readonly relation: RelationMessage; answer(table?: Table): void; fail(error: Error): void }[] = []
  from: bigint | null = null
  receiver: ReplicationReceiver | null = null
  paused = false
  ended: 'closed' | 'destroyed' | null = null
  /** What a check finds; an error: it rejects. */
  checks: ReplicationCheck | Error = NOTHING_NEW
  advances = 0
  #waiting: Buffer[] = []

  start(from: bigint, receiver: ReplicationReceiver): void {
    this.from = from
    this.receiver = receiver
  }

  sendStatus(status: ReplicationStatus): void {
    this.statuses.push(status)
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
    this.#hand()
  }

  loadTable(relation: RelationMessage): Promise<Table> {
    return new Promise((resolve, reject) => {
      this.loads.push({ relation, answer: (table) => resolve(table ?? describeTable(relation, null, new Map())), fail: reject })
    })
  }

  check(): Promise<ReplicationCheck> {
    return this.checks instanceof Error ? Promise.reject(this.checks) : Promise.resolve(this.checks)
  }

  advanceAnchor(): Promise<void> {
    this.advances++
    return Promise.resolve()
  }

  close(): Promise<void> {
    this.ended = 'closed'
    this.receiver = null
    return Promise.resolve()
  }

  destroy(): void {
    this.ended = 'destroyed'
    this.receiver = null
  }

  /** Messages of the plugin arrive in one read. */
  send(...messages: Buffer[]): void {
    this.#waiting.push(...messages)
    this.#hand()
  }

  fail(fault: ReplicationFault = { kind: 'unreachable', message: 'cut' }): void {
    const { receiver } = this
    this.receiver = null
    receiver?.failed(fault)
  }

  #hand(): void {
    while (!this.paused && this.receiver !== null) {
      const message = this.#waiting.shift()
      if (message === undefined) break
      this.receiver.data(message, 0, message.length)
    }
    this.receiver?.drained()
  }
}

export class FakePort implements ReplicationPort {
  readonly attempts: { readonly replaceSlot: boolean; readonly signal: AbortSignal; answer(outcome: AttachOutcome): void }[] = []

  attach(replaceSlot: boolean, signal: AbortSignal): Promise<AttachOutcome> {
    return new Promise((answer) => this.attempts.push({ replaceSlot, signal, answer }))
  }
}

/** Timers that run when the test says so. */
export class FakeTimers implements FeedRuntime {
  readonly #armed = new Set<{ readonly callback: () => void; readonly afterMs: number }>()

  setTimer(callback: () => void, afterMs: number): { cancel(): void } {
    const timer = { callback, afterMs }
    this.#armed.add(timer)
    return { cancel: () => void this.#armed.delete(timer) }
  }

  random(): number {
    return 0.5
  }

  uptime(): number {
    return 0
  }

  endOfTurn(): void {}

  get armed(): number[] {
    return [...this.#armed].map((timer) => timer.afterMs).sort((one, other) => one - other)
  }

  /** Fires the timer that was set for `afterMs`. */
  fire(afterMs: number): void {
    const timer = [...this.#armed].find((each) => each.afterMs === afterMs)
    if (timer === undefined) throw new Error(`no timer of ${afterMs} ms, only ${this.armed.join()}`)
    this.#armed.delete(timer)
    timer.callback()
  }
}
