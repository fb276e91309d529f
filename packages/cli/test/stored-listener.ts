/** The messages that are asked for again after an absence: the most that a replay gives. */
const REPLAY_LIMIT = 25
/** Clocks of the database and of this process are one, but a transaction begins before it is written down. */
const SLACK_MS = 1_000
const RETRY_MS = 500

export const STORED_TOPIC = 'realtime:stored'
const JOIN_REF = 'stored'

/** What `realtime.send` is given. */
export interface StoredPayload {
  readonly n: number
  /** Unix milliseconds. */
  readonly at: number
}

type Push = (joinRef: string, ref: string, topic: string, event: string, payload: object) => void

/** The private channel of a client on messages from SQL. Whenever it joins again it asks for what it has missed. */
export class StoredListener {
  readonly faults: string[] = []
  received = 0
  #last: StoredPayload | null = null
  #retry: NodeJS.Timeout | null = null
  readonly #id: number
  readonly #push: Push

  constructor(id: number, push: Push) {
    this.#id = id
    this.#push = push
  }

  /** The number of the last message. */
  get last(): number {
    return this.#last?.n ?? 0
  }

  join(): void {
    const replay = this.#last === null ? {} : { replay: { since: this.#last.at - SLACK_MS, limit: REPLAY_LIMIT } }
    this.#push(JOIN_REF, JOIN_REF, STORED_TOPIC, 'phx_join', { config: { private: true, broadcast: replay } })
  }

  /** The socket is gone. */
  end(): void {
    if (this.#retry !== null) clearTimeout(this.#retry)
  }

  receive(ref: string | null, event: string, payload: Record<string, unknown>): void {
    // A node without a database refuses it, or ends it.
    const isOver =
      event === 'phx_close' || event === 'phx_error' || (event === 'phx_reply' && ref === JOIN_REF && payload['status'] !== 'ok')
    if (isOver) this.#retry = setTimeout(() => this.join(), RETRY_MS)
    if (event === 'broadcast')
      this.#take(payload['payload'] as StoredPayload, payload['meta'] as { readonly replayed?: boolean } | undefined)
  }

  #take(message: StoredPayload, meta: { readonly replayed?: boolean } | undefined): void {
    const { n } = message
    if (this.#last !== null && n <= this.#last.n) {
      if (meta?.replayed !== true) this.faults.push(`client ${this.#id} got stored message ${n} live after ${this.#last.n}`)
      return
    }
    if (this.#last !== null && n > this.#last.n + 1)
      this.faults.push(`client ${this.#id} got stored message ${n} after ${this.#last.n}, and none between`)
    this.#last = message
    this.received++
  }
}
