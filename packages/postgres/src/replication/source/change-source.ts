import type { ChangeSource, ChangeSourceHandlers, ChangeSourceRuntime, ChangeSourceStatus } from './change-source-api.ts'
import type { ChangeSourceTimes } from './change-source-options.ts'
import { ChangeBatches } from './change-batches.ts'
import { isSameStatus, statusOf } from './change-source-status.ts'
import { laterLsn, type Lsn } from '../lsn.ts'
import { decodePgoutput } from '../pgoutput/decoder.ts'
import type { RelationMessage } from '../pgoutput/message.ts'
import { faultOf, type ReplicationFault } from '../replication-fault.ts'
import type { AttachOutcome, ReplicationPort, ReplicationReceiver, ReplicationSession } from '../replication-port.ts'
import { ServerChecks } from './server-checks.ts'
import { ReplicationRunner, type RunnerHandlers } from './replication-runner.ts'
import type { TableGap } from '../published-relations.ts'
import { TransactionAssembler, type RowChange } from '../transaction-assembler.ts'

export type * from './change-source-api.ts'

/** A change source over any way to Postgres. */
export class ReplicationSource implements ChangeSource, ReplicationReceiver {
  readonly #port: ReplicationPort
  readonly #runtime: ChangeSourceRuntime
  readonly #times: ChangeSourceTimes
  readonly #handlers: ChangeSourceHandlers
  readonly #assembler: TransactionAssembler
  readonly #machine: ReplicationRunner
  #session: ReplicationSession | null = null
  #attaching: { readonly abort: AbortController; readonly done: Promise<void> } | null = null
  #closing: Promise<void> = Promise.resolve()
  #loading = false
  readonly #batches = new ChangeBatches()
  readonly #checks: ServerChecks
  #liveFrom: Lsn | null = null
  #status: ChangeSourceStatus = { kind: 'connecting' }

  constructor(port: ReplicationPort, runtime: ChangeSourceRuntime, times: ChangeSourceTimes, handlers: ChangeSourceHandlers) {
    this.#port = port
    this.#runtime = runtime
    this.#times = times
    this.#handlers = handlers
    this.#assembler = new TransactionAssembler({
      begin: () => this.#machine.dispatch({ type: 'begun' }),
      change: (change) => this.#onChange(change),
      commit: (endLsn, empty) => this.#onCommit(endLsn, empty),
      relation: (relation, xid) => this.#loadTable(relation, xid),
    })
    this.#checks = new ServerChecks({
      failed: (fault) => this.failed(fault),
      tableGaps: (gaps) => this.#tableGaps(gaps),
      peers: (peers) => this.#handlers.onPeers?.(peers),
    })
    this.#machine = new ReplicationRunner(runtime, times, { run: (effect) => this.#run(effect), settled: () => this.#report() })
    this.#machine.open()
  }

  get epoch(): string | null {
    return this.#machine.state.progress.epoch
  }

  get log(): string | null {
    return this.#machine.state.progress.log
  }

  get status(): ChangeSourceStatus {
    return this.#status
  }

  get receivedLsn(): Lsn {
    return this.#machine.state.progress.received
  }

  get confirmedLsn(): Lsn {
    return this.#machine.state.progress.flushed
  }

  get liveFrom(): Lsn {
    return this.#liveFrom ?? 0n
  }

  get peers(): readonly string[] {
    return this.#checks.peers
  }

  get serverLsn(): Lsn {
    return laterLsn(this.#checks.serverLsn, this.receivedLsn)
  }

  get lagBytes(): number {
    return Number(this.serverLsn - this.confirmedLsn)
  }

  confirm(epoch: string, endLsn: Lsn): void {
    this.#machine.dispatch({ type: 'confirmed', epoch, lsn: endLsn })
  }

  pause(): void {
    this.#machine.dispatch({ type: 'paused' })
    this.#session?.pause()
  }

  resume(): void {
    this.#machine.dispatch({ type: 'resumed' })
    if (!this.#loading) this.#session?.resume()
  }

  async close(): Promise<void> {
    const attaching = this.#attaching
    this.#machine.dispatch({ type: 'close' })
    await attaching?.done
    await this.#closing
  }

  data(buffer: Buffer, start: number, end: number): void {
    this.#machine.dispatch({ type: 'heard' })
    const result = decodePgoutput(buffer, start, end)
    const fault = result.ok ? this.#assembler.accept(result.message) : result.detail
    if (fault !== null) this.failed({ kind: 'malformed-stream', message: fault })
  }

  keepalive(end: Lsn, replyRequested: boolean): void {
    this.#machine.dispatch({ type: 'heard' })
    const before = this.receivedLsn
    this.#machine.dispatch({ type: 'keepalive', end, replyRequested })
    if (this.receivedLsn === before) return
    this.#flush()
    this.#handlers.onProgress?.(this.receivedLsn)
  }

  drained(): void {
    this.#flush()
  }

  failed(fault: ReplicationFault): void {
    // What was assembled counts as handed over and will not come again.
    this.#flush()
    this.#machine.dispatch({ type: 'failed', fault, jitter: this.#runtime.random() })
  }

  get #isPaused(): boolean {
    const { state } = this.#machine
    return state.kind !== 'closed' && state.paused
  }

  #onChange(change: RowChange): void {
    this.#batches.add(change)
    if (this.#batches.size >= this.#times.maxBatchChanges) this.#flush()
  }

  #onCommit(endLsn: Lsn, empty: boolean): void {
    this.#machine.dispatch({ type: 'committed', endLsn, empty })
    if (!empty) this.#batches.end(endLsn)
    else if (this.#batches.size === 0) this.#handlers.onProgress?.(this.receivedLsn)
  }

  #flush(): void {
    const { epoch } = this.#machine.state.progress
    const batch = epoch === null ? null : this.#batches.take(epoch)
    if (batch === null) return
    this.#handlers.onChanges(batch)
    if (batch.endLsn !== null) this.#handlers.onProgress?.(this.receivedLsn)
  }

  /** The rows that follow cannot be understood before the catalog was asked, so the stream waits. */
  #loadTable(relation: RelationMessage, xid: number | null): void {
    const session = this.#session
    if (session === null) return
    this.#loading = true
    session.pause()
    this.#flush()
    session.loadTable(relation, xid).then(
      (table) => {
        if (session !== this.#session) return
        this.#assembler.describe(table)
        this.#loading = false
        if (!this.#isPaused) session.resume()
      },
      (error: unknown) => {
        if (session === this.#session) this.failed(faultOf(error))
      },
    )
  }

  #tableGaps(gaps: readonly TableGap[]): void {
    if (gaps.length > 0) this.#flush()
    for (const gap of gaps) this.#handlers.onTableGap?.(gap)
  }

  #run(effect: Parameters<RunnerHandlers['run']>[0]): void {
    switch (effect.type) {
      case 'attach':
        return this.#attach(effect.replaceSlot)
      case 'start':
        return this.#start(effect.from)
      case 'detach':
        return this.#detach(effect.polite)
      case 'check':
        return this.#checks.check()
      case 'advance':
        return void this.#session?.advanceAnchor()
      case 'send-status':
        return this.#session?.sendStatus(effect)
      case 'announce-epoch': {
        const { epoch, previous, reason, isOtherLog } = effect
        this.#assembler.restart(true)
        if (isOtherLog) this.#liveFrom = 0n
        return this.#handlers.onEpoch?.({ epoch, previous, reason, isOtherLog })
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
    this.#session = outcome.session
    this.#checks.attach(outcome.session)
    this.#checks.serverLsn = outcome.serverLsn
    this.#liveFrom ??= outcome.begunLsn
    this.#machine.dispatch({ type: 'attached', ...outcome })
    this.#tableGaps(outcome.gaps)
  }

  #start(from: Lsn): void {
    this.#assembler.restart(false)
    this.#loading = false
    if (this.#isPaused) this.#session?.pause()
    this.#session?.start(from, this)
  }

  #detach(polite: boolean): void {
    this.#attaching?.abort.abort()
    this.#attaching = null
    const session = this.#session
    this.#session = null
    this.#checks.attach(null)
    if (session === null) return
    if (polite) this.#closing = session.close()
    else session.destroy()
  }

  #report(): void {
    const status = statusOf(this.#machine.state, this.#session?.slotName ?? '')
    const before = this.#status
    this.#status = status
    if (!isSameStatus(status, before)) this.#handlers.onStatus?.(status)
  }
}
