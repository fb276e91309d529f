import type { ChangeSource, ChangeSourceHandlers, ChangeSourceRuntime, ChangeSourceStatus, ChangeSourceTimes } from './change-source-api.ts'
import { isSameStatus, statusOf } from './change-source-status.ts'
import type { Lsn } from './lsn.ts'
import { decodePgoutput } from './pgoutput/decoder.ts'
import type { RelationMessage } from './pgoutput/message.ts'
import { faultOf, type ErrorLike, type ReplicationFault } from './replication-fault.ts'
import type { AttachOutcome, ReplicationPort, ReplicationReceiver, ReplicationSession } from './replication-port.ts'
import {
  openReplication,
  transition,
  type ReplicationEffect,
  type ReplicationEvent,
  type ReplicationState,
  type ReplicationStep,
  type ReplicationTimer,
} from './replication-state.ts'
import type { TableGap } from './published-relations.ts'
import { TransactionAssembler, type RowChange } from './transaction-assembler.ts'

export type * from './change-source-api.ts'

/** A change source over any way to Postgres. */
export function createChangeSource(
  port: ReplicationPort,
  runtime: ChangeSourceRuntime,
  times: ChangeSourceTimes,
  handlers: ChangeSourceHandlers,
): ChangeSource {
  return new Source(port, runtime, times, handlers)
}

class Source implements ChangeSource, ReplicationReceiver {
  readonly #port: ReplicationPort
  readonly #runtime: ChangeSourceRuntime
  readonly #times: ChangeSourceTimes
  readonly #handlers: ChangeSourceHandlers
  readonly #assembler: TransactionAssembler
  readonly #timers = new Map<ReplicationTimer, { cancel(): void }>()
  readonly #effects: ReplicationEffect[] = []
  #running = false
  #state: ReplicationState
  #session: ReplicationSession | null = null
  #attaching: { readonly abort: AbortController; readonly done: Promise<void> } | null = null
  #closing: Promise<void> = Promise.resolve()
  #checking: ReplicationSession | null = null
  #loading = false
  #pausedByConsumer = false
  #batch: RowChange[] = []
  #batchEnd: Lsn | null = null
  #serverLsn: Lsn = 0n
  #liveFrom: Lsn | null = null
  #peers: readonly string[] = []
  #status: ChangeSourceStatus = { kind: 'connecting' }

  constructor(port: ReplicationPort, runtime: ChangeSourceRuntime, times: ChangeSourceTimes, handlers: ChangeSourceHandlers) {
    this.#port = port
    this.#runtime = runtime
    this.#times = times
    this.#handlers = handlers
    this.#assembler = new TransactionAssembler({
      begin: () => this.#dispatch({ type: 'begun' }),
      change: (change) => this.#onChange(change),
      commit: (endLsn, empty) => this.#onCommit(endLsn, empty),
      relation: (relation, xid) => this.#loadTable(relation, xid),
    })
    const first = openReplication()
    this.#state = first.state
    this.#apply(first)
  }

  get epoch(): string | null {
    return this.#state.progress.epoch
  }

  get status(): ChangeSourceStatus {
    return this.#status
  }

  get receivedLsn(): Lsn {
    return this.#state.progress.received
  }

  get confirmedLsn(): Lsn {
    return this.#state.progress.flushed
  }

  get liveFrom(): Lsn {
    return this.#liveFrom ?? 0n
  }

  get peers(): readonly string[] {
    return this.#peers
  }

  get serverLsn(): Lsn {
    const { received } = this.#state.progress
    return this.#serverLsn > received ? this.#serverLsn : received
  }

  get lagBytes(): number {
    return Number(this.serverLsn - this.#state.progress.flushed)
  }

  confirm(epoch: string, endLsn: Lsn): void {
    this.#dispatch({ type: 'confirmed', epoch, lsn: endLsn })
  }

  pause(): void {
    this.#pausedByConsumer = true
    this.#dispatch({ type: 'paused' })
    this.#session?.pause()
  }

  resume(): void {
    this.#pausedByConsumer = false
    this.#dispatch({ type: 'resumed' })
    if (!this.#loading) this.#session?.resume()
  }

  async close(): Promise<void> {
    const attaching = this.#attaching
    this.#dispatch({ type: 'close' })
    await attaching?.done
    await this.#closing
  }

  data(buffer: Buffer, start: number, end: number): void {
    this.#dispatch({ type: 'heard' })
    const result = decodePgoutput(buffer, start, end)
    const fault = result.ok ? this.#assembler.accept(result.message) : result.detail
    if (fault !== null) this.failed({ kind: 'malformed-stream', message: fault })
  }

  keepalive(end: Lsn, replyRequested: boolean): void {
    this.#dispatch({ type: 'heard' })
    const before = this.receivedLsn
    this.#dispatch({ type: 'keepalive', end, replyRequested })
    if (this.receivedLsn === before) return
    this.#flush()
    this.#progress()
  }

  drained(): void {
    this.#flush()
  }

  failed(fault: ReplicationFault): void {
    // What was assembled counts as handed over and will not come again.
    this.#flush()
    this.#dispatch({ type: 'failed', fault, chance: this.#runtime.random() })
  }

  #onChange(change: RowChange): void {
    this.#batch.push(change)
    if (this.#batch.length >= this.#times.maxBatchChanges) this.#flush()
  }

  #onCommit(endLsn: Lsn, empty: boolean): void {
    this.#dispatch({ type: 'committed', endLsn, empty })
    if (!empty) this.#batchEnd = endLsn
    else if (this.#batch.length === 0) this.#progress()
  }

  #flush(): void {
    const { epoch } = this.#state.progress
    if (epoch === null || (this.#batch.length === 0 && this.#batchEnd === null)) return
    const batch = { epoch, changes: this.#batch, endLsn: this.#batchEnd }
    this.#batch = []
    this.#batchEnd = null
    this.#handlers.onChanges(batch)
    if (batch.endLsn !== null) this.#progress()
  }

  #progress(): void {
    this.#handlers.onProgress?.(this.receivedLsn)
  }

  /** The rows that follow cannot be understood before the catalog was asked, so the stream waits. */
  #loadTable(relation: RelationMessage, xid: number | null): void {
    const session = this.#session
    if (session === null) return
    this.#loading = true
    session.pause()
    this.#flush()
    const resume = (): void => {
      this.#loading = false
      if (!this.#pausedByConsumer) session.resume()
    }
    session.loadTable(relation, xid).then(
      (table) => {
        if (session !== this.#session) return
        this.#assembler.describe(table)
        resume()
      },
      (error: ErrorLike) => {
        if (session === this.#session) this.failed(faultOf(error))
      },
    )
  }

  #check(): void {
    const session = this.#session
    if (session === null || this.#checking === session) return
    this.#checking = session
    const done = (): void => {
      if (this.#checking === session) this.#checking = null
    }
    session
      .check()
      .finally(done)
      .then(
        ({ serverLsn, publicationsChanged, anchorLost, gaps, peers }) => {
          if (session !== this.#session) return
          this.#serverLsn = serverLsn
          const isNews = peers.join() !== this.#peers.join()
          this.#peers = peers
          if (isNews) this.#handlers.onPeers?.(peers)
          if (publicationsChanged)
            return this.failed({ kind: 'publication-changed', message: 'a publication was dropped or created again' })
          if (anchorLost)
            return this.failed({ kind: 'slot-lost', message: 'the anchor slot is gone, or Postgres threw away WAL that it needs' })
          this.#tableGaps(gaps)
        },
        (error: ErrorLike) => {
          if (session === this.#session) this.failed(faultOf(error))
        },
      )
  }

  #tableGaps(gaps: readonly TableGap[]): void {
    if (gaps.length > 0) this.#flush()
    for (const gap of gaps) this.#handlers.onTableGap?.(gap)
  }

  #dispatch(event: ReplicationEvent): void {
    this.#apply(transition(this.#state, event, this.#times))
  }

  /** Effects may cause events; those are answered after the effects that are already due. */
  #apply(step: ReplicationStep): void {
    this.#state = step.state
    if (step.effects.length === 0) return
    this.#effects.push(...step.effects)
    if (this.#running) return
    this.#running = true
    try {
      for (let effect = this.#effects.shift(); effect !== undefined; effect = this.#effects.shift()) this.#run(effect)
    } finally {
      this.#running = false
    }
    this.#report()
  }

  #run(effect: ReplicationEffect): void {
    switch (effect.type) {
      case 'attach':
        return this.#attach(effect.replaceSlot)
      case 'start':
        return this.#start(effect.from)
      case 'detach':
        return this.#detach(effect.polite)
      case 'check':
        return this.#check()
      case 'advance':
        void this.#session?.advanceAnchor()
        return
      case 'send-status':
        return this.#session?.sendStatus(effect)
      case 'set-timer':
        return this.#setTimer(effect.timer, effect.afterMs)
      case 'clear-timer':
        this.#timers.get(effect.timer)?.cancel()
        this.#timers.delete(effect.timer)
        return
      case 'announce-epoch': {
        const { epoch, previous, reason } = effect
        this.#assembler.restart(true)
        this.#handlers.onEpoch?.({ epoch, previous, reason })
        return
      }
    }
  }

  #attach(replaceSlot: boolean): void {
    const abort = new AbortController()
    const done = this.#port.attach({ replaceSlot }, abort.signal).then((outcome) => this.#onAttached(outcome, abort.signal))
    this.#attaching = { abort, done }
  }

  async #onAttached(outcome: AttachOutcome, signal: AbortSignal): Promise<void> {
    if (signal.aborted) {
      if (outcome.ok) await outcome.session.close()
      return
    }
    this.#attaching = null
    if (!outcome.ok) return this.failed(outcome.fault)
    const { session, epoch, confirmedLsn, begunLsn, serverLsn, gaps, reason } = outcome
    this.#session = session
    this.#serverLsn = serverLsn
    this.#liveFrom ??= begunLsn
    this.#dispatch({ type: 'attached', epoch, confirmedLsn, reason })
    this.#tableGaps(gaps)
  }

  #start(from: Lsn): void {
    this.#assembler.restart(false)
    this.#loading = false
    if (this.#pausedByConsumer) this.#session?.pause()
    this.#session?.start(from, this)
  }

  #detach(polite: boolean): void {
    this.#attaching?.abort.abort()
    this.#attaching = null
    const session = this.#session
    this.#session = null
    if (session === null) return
    if (polite) this.#closing = session.close()
    else session.destroy()
  }

  #setTimer(timer: ReplicationTimer, afterMs: number): void {
    this.#timers.get(timer)?.cancel()
    const fire = (): void => {
      this.#timers.delete(timer)
      this.#dispatch({ type: 'timer', timer, chance: this.#runtime.random() })
    }
    this.#timers.set(timer, this.#runtime.setTimer(fire, afterMs))
  }

  #report(): void {
    const status = statusOf(this.#state, this.#session?.slotName ?? '')
    const before = this.#status
    this.#status = status
    if (!isSameStatus(status, before)) this.#handlers.onStatus?.(status)
  }
}
