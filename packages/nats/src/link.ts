import type { RelayLink, Runtime, TimerHandle } from '@tidewire/server'
import type { Broker, BrokerSession } from './broker.ts'

export interface LinkHandlers {
  /** A session begins: to be called back for every subscription before the link counts as up. */
  opened(session: BrokerSession): void
  changed(link: RelayLink): void
  /** The session is over: messages under way in either direction may be lost. */
  lost(): void
  refused(detail: string): void
}

const FIRST_RETRY_MS = 100
/** At most 0.75 seconds with its jitter: all nodes are back before the first of them gives up missing ones, which takes 2.5 seconds. */
const MAX_RETRY_MS = 500
/** A session that ends sooner counts as a failed attempt. */
const STABLE_MS = 10_000
/** Beats, and a large broadcast in parts, need as much. */
const MIN_PAYLOAD_BYTES = 4_096
/** A broker that takes a session's bytes and confirms none of them would grow this process without bound. */
const MAX_UNCONFIRMED_BYTES = 64 * 1024 * 1024
/** Ticks, not time: after a freeze the clock has run on, and the answer waits to be read. */
const MAX_UNANSWERED_TICKS = 5

/** The connection to the broker: dials for ever, with growing pauses, and keeps one session at a time. */
export class Link {
  readonly #broker: Broker
  readonly #runtime: Runtime
  readonly #handlers: LinkHandlers
  #state: RelayLink
  #session: BrokerSession | null = null
  #retry: TimerHandle | null = null
  #retryMs = FIRST_RETRY_MS
  #confirming: Promise<boolean> | null = null
  #next: Promise<boolean> | null = null
  #unansweredTicks = 0
  #sentBytes = 0
  #confirmedBytes = 0
  #closed = false
  sessions = 0

  constructor(broker: Broker, runtime: Runtime, handlers: LinkHandlers) {
    this.#broker = broker
    this.#runtime = runtime
    this.#handlers = handlers
    this.#state = { state: 'down', sinceUptimeMs: runtime.uptime(), detail: 'not connected yet' }
  }

  get state(): RelayLink {
    return this.#state
  }

  get session(): BrokerSession | null {
    return this.#session
  }

  wait(detail: string): void {
    this.#down(detail)
  }

  dial(): void {
    if (this.#closed) return
    // A late event of an earlier attempt must not end a later one.
    const attempt = { over: false, session: null as BrokerSession | null }
    const ended = (detail: string): void => {
      if (attempt.over) return
      attempt.over = true
      if (attempt.session === null || attempt.session === this.#session) this.#lose(detail)
    }
    this.#broker
      .connect({
        closed: ended,
        refused: (detail, denied) => {
          this.#handlers.refused(detail)
          if (!denied || attempt.over) return
          void attempt.session?.close()
          ended(detail)
        },
      })
      .then(
        (session) => {
          attempt.session = session
          if (this.#closed || attempt.over) return void session.close()
          const { maxPayloadBytes } = session
          if (maxPayloadBytes < MIN_PAYLOAD_BYTES) {
            attempt.over = true
            void session.close()
            return this.#lose(`${this.#broker.place} takes ${maxPayloadBytes} bytes at once, and nodes need ${MIN_PAYLOAD_BYTES}`)
          }
          this.#begin(session)
        },
        (error: unknown) => ended(error instanceof Error ? error.message : String(error)),
      )
  }

  /** Whether it was handed to the broker. */
  publish(subject: string, bytes: Uint8Array): 'sent' | 'unsent' | 'overflow' {
    if (this.#session === null) return 'unsent'
    if (this.#sentBytes - this.#confirmedBytes > MAX_UNCONFIRMED_BYTES) return 'overflow'
    if (!this.#session.publish(subject, bytes)) return 'unsent'
    this.#sentBytes += bytes.length
    return 'sent'
  }

  /** Calls that come while the broker is being asked share the next question. `false`: the session ended first. */
  confirm(): Promise<boolean> {
    if (this.#session === null) return Promise.resolve(false)
    if (this.#confirming === null) return this.#ask(this.#session)
    this.#next ??= this.#confirming.then(() => {
      this.#next = null
      return this.#session === null ? false : this.#ask(this.#session)
    })
    return this.#next
  }

  /** To be called every second. */
  tick(): void {
    if (this.#session === null) return
    if (this.#confirming === null) this.#unansweredTicks = 0
    else if (++this.#unansweredTicks >= MAX_UNANSWERED_TICKS) {
      void this.#session.close()
      return this.#lose(`${this.#broker.place} does not answer`)
    }
    void this.confirm()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#retry?.cancel()
    const session = this.#session
    this.#session = null
    await session?.close()
  }

  #begin(session: BrokerSession): void {
    this.#session = session
    this.sessions++
    this.#sentBytes = this.#confirmedBytes = 0
    this.#handlers.opened(session)
    void this.confirm().then((confirmed) => {
      if (!confirmed || this.#session !== session || this.#closed) return
      this.#state = { state: 'up', sinceUptimeMs: this.#runtime.uptime() }
      this.#handlers.changed(this.#state)
    })
  }

  #ask(session: BrokerSession): Promise<boolean> {
    const sent = this.#sentBytes
    this.#unansweredTicks = 0
    const answered = session.confirm().then(
      () => {
        if (session !== this.#session) return false
        this.#confirmedBytes = Math.max(this.#confirmedBytes, sent)
        return true
      },
      () => false,
    )
    const asked = answered.finally(() => {
      if (this.#confirming === asked) this.#confirming = null
    })
    this.#confirming = asked
    return asked
  }

  #lose(detail: string): void {
    if (this.#closed) return
    const had = this.#session !== null
    const { state, sinceUptimeMs } = this.#state
    if (state === 'up' && this.#runtime.uptime() - sinceUptimeMs > STABLE_MS) this.#retryMs = FIRST_RETRY_MS
    this.#session = null
    this.#confirming = null
    this.#next = null
    if (had) this.#handlers.lost()
    this.#down(detail)
    // Nodes that lost the same broker must not all come back at once.
    const jitter = 0.5 + (this.#runtime.randomBytes(1)[0] ?? 0) / 256
    this.#retry?.cancel()
    this.#retry = this.#runtime.setTimer(() => this.dial(), this.#retryMs * jitter)
    this.#retryMs = Math.min(MAX_RETRY_MS, this.#retryMs * 2)
  }

  #down(detail: string): void {
    if (this.#state.state === 'down' && this.#state.detail === detail) return
    const sinceUptimeMs = this.#state.state === 'down' ? this.#state.sinceUptimeMs : this.#runtime.uptime()
    this.#state = { state: 'down', sinceUptimeMs, detail }
    this.#handlers.changed(this.#state)
  }
}
