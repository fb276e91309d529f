import { Machine, type TimerHandle } from '@tidewire/protocol'
import type { FeedRuntime } from '../../feed-runtime.ts'
import { laterLsn, type Lsn } from '../lsn.ts'
import { decodePgoutput } from '../pgoutput/decoder.ts'
import type { RelationMessage } from '../pgoutput/message.ts'
import { faultOf, type ReplicationFault } from '../replication-fault.ts'
import type { AttachOutcome, ReplicationPort, ReplicationReceiver, ReplicationSession } from '../replication-port.ts'
import { TransactionAssembler, type RowChange } from '../transaction-assembler.ts'
import type { ChangeSource, ChangeSourceHandlers, ChangeSourceStatus, ChangeSourceTuning, NewEpoch } from './change-source-api.ts'
import type { ReplicationEffect, ReplicationEvent, ReplicationState, ReplicationTimer } from './replication-machine.ts'
import { CONNECTING, statusOf, replicationTransition } from './replication-state.ts'
import { ServerChecks } from './server-checks.ts'

export class ReplicationSource implements ChangeSource, ReplicationReceiver {
  readonly #port: ReplicationPort
  readonly #runtime: FeedRuntime
  readonly #tuning: Required<ChangeSourceTuning>
  readonly #handlers: ChangeSourceHandlers
  readonly #assembler: TransactionAssembler
  readonly #machine: Machine<ReplicationState, ReplicationEvent, ReplicationEffect>
  readonly #timers = new Map<ReplicationTimer, TimerHandle>()
  readonly #checks: ServerChecks
  #session: ReplicationSession | null = null
  #attaching: { readonly abort: AbortController; readonly done: Promise<void> } | null = null
  #closing: Promise<void> = Promise.resolve()
  #loading = false
  #changes: RowChange[] = []
  /** The progress of which the consumer was last notified. */
  #reported: Lsn = 0n
  #liveFrom: Lsn | null = null

  constructor(port: ReplicationPort, runtime: FeedRuntime, tuning: Required<ChangeSourceTuning>, handlers: ChangeSourceHandlers) {
    this.#port = port
    this.#runtime = runtime
    this.#tuning = tuning
    this.#handlers = handlers
    this.#machine = new Machine<ReplicationState, ReplicationEvent, ReplicationEffect>(
      CONNECTING,
      (state, event) => replicationTransition(state, event, tuning),
      (effect) => this.#perform(effect),
    )
    this.#assembler = new TransactionAssembler({
      begin: () => this.#machine.send({ type: 'begun' }),
      change: (change) => this.#onChange(change),
      commit: (endLsn) => this.#machine.send({ type: 'committed', endLsn }),
      relation: (relation, xid) => this.#loadTable(relation, xid),
    })
    this.#checks = new ServerChecks(this, handlers)
    this.#attach(false)
  }

  get epoch(): string | null {
    return this.#machine.state.progress.epoch
  }

  get log(): string | null {
    return this.#machine.state.progress.log
  }

  get status(): ChangeSourceStatus {
    return statusOf(this.#machine.state)
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

  confirm(epoch: string, lsn: Lsn): void {
    this.#machine.send({ type: 'confirmed', epoch, lsn })
  }

  pause(): void {
    this.#machine.send({ type: 'paused' })
    this.#session?.pause()
  }

  resume(): void {
    this.#machine.send({ type: 'resumed' })
    if (!this.#loading) this.#session?.resume()
  }

  async close(): Promise<void> {
    const attaching = this.#attaching
    this.#machine.send({ type: 'close' })
    await attaching?.done
    await this.#closing
  }

  data(buffer: Buffer, start: number, end: number): void {
    this.#machine.send({ type: 'heard' })
    const result = decodePgoutput(buffer, start, end)
    const fault = result.ok ? this.#assembler.accept(result.message) : result.detail
    if (fault !== null) this.failed({ kind: 'malformed-stream', message: fault })
  }

  keepalive(end: Lsn, replyRequested: boolean): void {
    this.#machine.send({ type: 'heard' })
    this.#machine.send({ type: 'keepalive', end, replyRequested })
  }

  drained(): void {
    this.#flush()
  }

  failed(fault: ReplicationFault): void {
    // What was assembled counts as handed over and will not come again.
    this.#flush()
    this.#machine.send({ type: 'failed', fault, jitter: this.#runtime.random() })
  }

  get #isPaused(): boolean {
    const { state } = this.#machine
    return state.kind !== 'closed' && state.paused
  }

  #onChange(change: RowChange): void {
    this.#changes.push(change)
    if (this.#changes.length >= this.#tuning.maxBatchChanges) this.#flush()
  }

  /** Hands over what was received, and reports how far that goes. */
  #flush(): void {
    const changes = this.#changes
    if (changes.length > 0) {
      this.#changes = []
      this.#handlers.onChanges(changes)
    }
    const { receivedLsn } = this
    if (receivedLsn <= this.#reported) return
    this.#reported = receivedLsn
    this.#handlers.onProgress?.(receivedLsn)
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

  #perform(effect: ReplicationEffect): void {
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
      case 'set-timer':
        return this.#setTimer(effect.timer, effect.afterMs)
      case 'clear-timer':
        return this.#timers.get(effect.timer)?.cancel()
      case 'announce-epoch':
        return this.#announce(effect)
      case 'announce-status':
        return this.#handlers.onStatus?.(effect.status)
    }
  }

  #setTimer(timer: ReplicationTimer, afterMs: number): void {
    const fire = (): void => this.#machine.send({ type: 'timer', timer, jitter: this.#runtime.random() })
    this.#timers.set(timer, this.#runtime.setTimer(fire, afterMs))
  }

  #announce({ epoch, previous, reason, isOtherLog }: NewEpoch): void {
    this.#assembler.restart(true)
    this.#reported = this.receivedLsn
    if (isOtherLog) this.#liveFrom = 0n
    this.#handlers.onEpoch?.({ epoch, previous, reason, isOtherLog })
  }

  #attach(replaceSlot: boolean): void {
    const abort = new AbortController()
    const done = this.#port.attach(replaceSlot, abort.signal).then((outcome) => this.#onAttached(outcome, abort.signal))
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
    this.#machine.send({ type: 'attached', ...outcome })
    this.#checks.reportGaps(outcome.gaps)
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
}
