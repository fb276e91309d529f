import { CHANGES_FAULTS, type ChangesFault, type JsonObject } from '@tidewire/protocol'
import type { ChangeHandle, Identity, TimerHandle } from '../ports.ts'
import { changeEntries, echo, type RequestedEntry } from './change-entries.ts'
import type { ChannelEvent } from './channel-state.ts'
import type { JoinedChannel } from './joined-channel.ts'
import { report } from './refusals.ts'

/** Characters of a hint in the log: hints quote names that clients chose. */
const MAX_DETAIL = 300

/** How the row changes of a join opened, as the channel's machine takes it. */
type Opening = Extract<ChannelEvent, { type: 'changes-live' | 'changes-refused' }>

export const NO_DATABASE = 'This server was started without a database: there are no Postgres changes'
const NO_DATABASE_FAULT = { code: 'no-database', hint: 'Start the server with a database: DATABASE_URL, or `tidewire dev`.' } as const

type System = (status: 'ok' | 'error', message: string, extra?: JsonObject) => void

/** The row changes of one channel: asked for in its join, delivered while it is joined. */
export class ChangeSubscription {
  readonly #channel: JoinedChannel
  #made: readonly RequestedEntry[] | null = null
  #handle: ChangeHandle | null = null
  #deadline: TimerHandle | null = null
  #isOpen = false
  /** The identity that a large join opens with in a later turn. */
  #opening: Identity | null = null
  #closed = false
  /** Answers the join that waits; later calls do nothing. */
  #settle: (opening: Opening) => void = () => {}

  constructor(channel: JoinedChannel) {
    this.#channel = channel
  }

  /** The entries are read with their first use: for a large join, in a later turn than the join itself. */
  get #entries(): readonly RequestedEntry[] {
    return (this.#made ??= changeEntries(this.#channel.request, this.#channel.subTopic))
  }

  /** Whether the join is answered only when the changes are live (rule J7). */
  get isAwaited(): boolean {
    return this.#channel.request.postgresChangesOptions.wait && this.#entries.length > 0
  }

  /** Reads the entries now instead of with their first use. */
  read(): void {
    void this.#entries
  }

  /** The entries as the join reply echoes them. */
  get echoed(): readonly unknown[] {
    return this.#entries.map(echo)
  }

  /** Opens before the join is answered, and calls `answer` once. The channel's writer holds what the feed delivers meanwhile. */
  await(identity: Identity, answer: (opening: Opening) => void): void {
    let pending = true
    const settle = (opening: Opening): void => {
      if (!pending) return
      pending = false
      this.#deadline?.cancel()
      answer(opening)
    }
    const { timeoutMs } = this.#channel.request.postgresChangesOptions
    const late = `PostgresChangesSubscribeTimeout: Timed out after ${timeoutMs}ms waiting for the postgres_changes subscription`
    this.#settle = settle
    this.#isOpen = true
    this.#deadline = this.#channel.services.runtime.setTimer(
      () => settle({ type: 'changes-refused', code: 'changes-late', reason: late }),
      timeoutMs,
    )
    this.#open(identity, (status, message, extra) => {
      if (this.#closed) return
      // An error with `live` is a warning: the subscription is not refused.
      if (pending && status === 'error' && extra?.['live'] !== true) return settle(this.#refusal(message, extra))
      this.#notify(status, message, extra)
      if (status === 'ok') settle({ type: 'changes-live' })
    })
  }

  /** Answers a join that still waits as if the changes were live. */
  answerNow(): void {
    this.#settle({ type: 'changes-live' })
  }

  /** The join has its reply: opens, unless that was done before the reply. */
  joined(identity: Identity): void {
    if (this.#isOpen || this.#entries.length === 0) return
    const system: System = (status, message, extra) => this.#notify(status, message, extra)
    if (!this.#channel.isLarge) return this.#open(identity, system)
    this.#opening = identity
    this.#channel.services.runtime.endOfTurn(() => {
      const current = this.#opening!
      this.#opening = null
      if (!this.#closed) this.#open(current, system)
    })
  }

  setIdentity(identity: Identity): void {
    if (this.#opening !== null) this.#opening = identity
    this.#handle?.setIdentity(identity)
  }

  close(): void {
    this.#closed = true
    this.#deadline?.cancel()
    this.#handle?.close()
  }

  #notify(status: 'ok' | 'error', message: string, extra?: JsonObject): void {
    const fault = changesFaultIn(extra)
    // An unreachable database is the server's trouble, which the feed reports once and not for each channel.
    if (fault !== null && fault.code !== 'database-unavailable')
      report(this.#channel, extra?.['live'] === true ? 'changes-withheld' : 'changes-refused', fault.code, fault.hint.slice(0, MAX_DETAIL))
    this.#channel.writer.aboutChanges(status, message, extra)
  }

  #refusal(message: string, extra?: JsonObject): Opening {
    const reason = `RealtimeDisabledForConfiguration: ${message}`
    const fault = changesFaultIn(extra)
    if (fault === null) return { type: 'changes-refused', code: 'changes-refused', reason }
    // Clients of the reference show all members of the response as one text, so members are added only for ours.
    return {
      type: 'changes-refused',
      code: fault.code,
      reason,
      ...(this.#channel.request.postgresChangesOptions.positions ? { fault } : {}),
    }
  }

  #open(identity: Identity, system: System): void {
    const { subTopic, request, services } = this.#channel
    if (services.changeFeed === null) return system('error', NO_DATABASE, NO_DATABASE_FAULT)
    const { positions, since, deletes } = request.postgresChangesOptions
    const handle = services.changeFeed.open(
      { subTopic, entries: this.#entries, identity, positions, since, deletes, legacy: request.legacy },
      {
        change: (event, payload) => {
          // The buffer is full. Answering the join now bounds it.
          if (!this.#closed && !this.#channel.writer.change(event, payload)) this.answerNow()
        },
        system,
      },
    )
    this.#handle = handle
    // The feed refused inside `open`, and the channel was closed before there was a handle.
    if (this.#closed) handle.close()
  }
}

/** The fault among the members that the feed adds to a `system` message, or `null`. */
function changesFaultIn(extra: JsonObject | undefined): ChangesFault | null {
  const { code, hint } = extra ?? {}
  const known = CHANGES_FAULTS.find((each) => each === code)
  return known === undefined ? null : { code: known, hint: typeof hint === 'string' ? hint : '' }
}
