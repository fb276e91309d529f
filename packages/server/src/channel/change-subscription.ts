import type { DecisionCode } from '../decision-code.ts'
import { CHANGES_FAULTS, type ChangesFault, type ChangesFaultCode, type JoinRequest, type JsonObject } from '@tidewire/protocol'
import type { ChangeFeed, ChangeHandle, Identity, Runtime, TimerHandle } from '../ports.ts'
import { changeEntries, echo, type ChangeEntry } from './change-entries.ts'

/** What a subscription needs of its channel. */
export interface ChangeReceiver {
  readonly subTopic: string
  readonly request: JoinRequest
  deliverChange(event: string, payload: Uint8Array): void
  /** Sends a `system` message about the changes. */
  notifyChanges(status: 'ok' | 'error', message: string, extra?: JsonObject): void
  /** Reports a refusal, or a warning while the changes flow, to the observer. */
  observeChanges(kind: 'changes-refused' | 'changes-withheld', code: ChangesFaultCode, detail: string): void
}

export type Opening =
  | { readonly ok: true }
  | {
      readonly ok: false
      readonly code: DecisionCode
      readonly reason: string
      /** Added to the reply. */
      readonly fault?: ChangesFault | undefined
    }

export const NO_DATABASE = 'This server was started without a database: there are no Postgres changes'
const NO_DATABASE_FAULT = { code: 'no-database', hint: 'Start the server with a database: DATABASE_URL, or `tidewire dev`.' } as const

type System = (status: 'ok' | 'error', message: string, extra?: JsonObject) => void

/** The row changes of one channel: asked for in its join, delivered while it is joined. */
export class ChangeSubscription {
  readonly #receiver: ChangeReceiver
  readonly #feed: ChangeFeed | null
  #made: readonly ChangeEntry[] | null = null
  #handle: ChangeHandle | null = null
  #deadline: TimerHandle | null = null
  #isOpen = false
  #closed = false
  /** Answers a join that waits; does nothing once it is answered. */
  #settle: (opening: Opening) => void = () => {}

  constructor(receiver: ChangeReceiver, feed: ChangeFeed | null) {
    this.#receiver = receiver
    this.#feed = feed
  }

  /** Made when they are needed, which is in a later turn than that in which a large join is read. */
  get #entries(): readonly ChangeEntry[] {
    return (this.#made ??= changeEntries(this.#receiver.request, this.#receiver.subTopic))
  }

  /** Whether the join is answered only when the changes are live (rule J7). */
  get isAwaited(): boolean {
    return this.#receiver.request.postgresChangesOptions.wait && this.#entries.length > 0
  }

  /** The entries as the join reply echoes them. */
  get echoed(): readonly unknown[] {
    return this.#entries.map(echo)
  }

  /** Opens before the join is answered; `answer` is called once, with how it went. What the feed says meanwhile is the channel's to hold. */
  await(identity: Identity, runtime: Runtime, answer: (opening: Opening) => void): void {
    let pending = true
    const settle = (opening: Opening): void => {
      if (!pending) return
      pending = false
      this.#deadline?.cancel()
      answer(opening)
    }
    const { timeoutMs } = this.#receiver.request.postgresChangesOptions
    const late = `PostgresChangesSubscribeTimeout: Timed out after ${timeoutMs}ms waiting for the postgres_changes subscription`
    this.#settle = settle
    this.#isOpen = true
    this.#deadline = runtime.setTimer(() => settle({ ok: false, code: 'changes-late', reason: late }), timeoutMs)
    this.#open(identity, (status, message, extra) => {
      if (this.#closed) return
      if (pending && status === 'error') return settle(this.#refusal(message, extra))
      this.#notify(status, message, extra)
      settle({ ok: true })
    })
  }

  /** Does not wait any longer. */
  answerNow(): void {
    this.#settle({ ok: true })
  }

  /** The channel is joined and its reply sent: opens, unless that was awaited. */
  joined(identity: Identity): void {
    if (!this.#isOpen && this.#entries.length > 0) this.#open(identity, (status, message, extra) => this.#notify(status, message, extra))
  }

  setIdentity(identity: Identity): void {
    this.#handle?.setIdentity(identity)
  }

  close(): void {
    this.#closed = true
    this.#deadline?.cancel()
    this.#handle?.close()
  }

  #notify(status: 'ok' | 'error', message: string, extra?: JsonObject): void {
    const fault = faultOf(extra)
    // An unreachable database is the server's trouble, which the feed reports once and not for each channel.
    if (fault !== null && fault.code !== 'database-unavailable')
      this.#receiver.observeChanges(extra?.['live'] === true ? 'changes-withheld' : 'changes-refused', fault.code, fault.hint)
    this.#receiver.notifyChanges(status, message, extra)
  }

  #refusal(message: string, extra?: JsonObject): Opening {
    const reason = `RealtimeDisabledForConfiguration: ${message}`
    const fault = faultOf(extra)
    if (fault === null) return { ok: false, code: 'changes-refused', reason }
    // Clients of the reference join all members of the response into one text.
    return { ok: false, code: fault.code, reason, ...(this.#receiver.request.postgresChangesOptions.positions ? { fault } : {}) }
  }

  #open(identity: Identity, system: System): void {
    if (this.#feed === null) return system('error', NO_DATABASE, NO_DATABASE_FAULT)
    const { subTopic, request } = this.#receiver
    const { positions, since, deletes } = request.postgresChangesOptions
    const handle = this.#feed.open(
      { subTopic, entries: this.#entries, identity, positions, since, deletes, legacy: request.legacy },
      {
        change: (event, payload) => {
          if (!this.#closed) this.#receiver.deliverChange(event, payload)
        },
        system,
      },
    )
    this.#handle = handle
    // Refused at once: the channel was closed before there was a handle.
    if (this.#closed) handle.close()
  }
}

/** The fault in what the feed adds to a `system` message, if there is one. */
function faultOf(extra: JsonObject | undefined): ChangesFault | null {
  const { code, hint } = extra ?? {}
  const known = CHANGES_FAULTS.find((each) => each === code)
  return known === undefined ? null : { code: known, hint: typeof hint === 'string' ? hint : '' }
}
