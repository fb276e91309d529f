import { formatTopicKey } from '@tidewire/protocol'
import type { RelayInterest, RelayTopic, Runtime } from '@tidewire/server'
import type { BrokerSession } from './broker.ts'
import type { Link } from './link.ts'

/** How long a subscription is kept after its last member left. */
const KEEP_MS = 3_000
const MAX_WAIT_MS = 1_000

export interface Entry {
  readonly key: string
  readonly topic: RelayTopic
  /** `null` while the subjects are not known. */
  subject: string | null
  members: number
  idleSince: number
  unsubscribe: (() => void) | null
  /** The place of its confirmation by the broker among all of this node; `Infinity` until it comes. */
  confirmed: number
  confirming: Promise<boolean> | null
}

/** The topics that this node subscribes to at the broker. */
export class Interests {
  readonly #entries = new Map<string, Entry>()
  readonly #idle = new Set<Entry>()
  readonly #runtime: Runtime
  readonly #link: Link
  readonly #subjectOf: (key: string) => string | null
  readonly #received: (entry: Entry, bytes: Uint8Array) => void
  #confirmations = 0

  constructor(
    runtime: Runtime,
    link: Link,
    subjectOf: (key: string) => string | null,
    received: (entry: Entry, bytes: Uint8Array) => void,
  ) {
    this.#runtime = runtime
    this.#link = link
    this.#subjectOf = subjectOf
    this.#received = received
  }

  get size(): number {
    return this.#entries.size
  }

  /** How many times the broker has confirmed subscriptions. */
  get confirmations(): number {
    return this.#confirmations
  }

  find(key: string): Entry | undefined {
    return this.#entries.get(key)
  }

  add(topic: RelayTopic): RelayInterest {
    const key = formatTopicKey(topic)
    let entry = this.#entries.get(key)
    if (entry === undefined) {
      const { name, private: isPrivate } = topic
      const subject = this.#subjectOf(key)
      entry = {
        key,
        topic: { name, private: isPrivate },
        subject,
        members: 0,
        idleSince: 0,
        unsubscribe: null,
        confirmed: Infinity,
        confirming: null,
      }
      this.#entries.set(key, entry)
      this.#subscribe(entry, this.#link.session)
    }
    entry.members++
    this.#idle.delete(entry)
    let released = false
    const release = (): void => {
      if (released) return
      released = true
      this.#release(entry)
    }
    return { ready: this.#readyOf(entry), release }
  }

  /** Subscribes again on a new session. */
  reopen(session: BrokerSession): void {
    for (const entry of this.#entries.values()) {
      if (entry.members === 0) this.#entries.delete(entry.key)
      else this.#subscribe(entry, session)
    }
    this.#idle.clear()
  }

  /** The subscriptions of `reopen` are confirmed. */
  opened(): void {
    this.#confirmations++
    for (const entry of this.#entries.values()) if (entry.unsubscribe !== null) entry.confirmed = this.#confirmations
  }

  lost(): void {
    for (const entry of this.#entries.values()) {
      entry.unsubscribe = null
      entry.confirmed = Infinity
      entry.confirming = null
    }
  }

  /** Ends subscriptions that have had no member for a while. To be called every second. */
  sweep(): void {
    const now = this.#runtime.uptime()
    for (const entry of this.#idle) {
      // The oldest come first.
      if (now - entry.idleSince < KEEP_MS) break
      this.#idle.delete(entry)
      this.#entries.delete(entry.key)
      entry.unsubscribe?.()
    }
  }

  #release(entry: Entry): void {
    if (--entry.members > 0) return
    entry.idleSince = this.#runtime.uptime()
    this.#idle.add(entry)
  }

  #subscribe(entry: Entry, session: BrokerSession | null): void {
    entry.subject ??= this.#subjectOf(entry.key)
    if (session === null || entry.subject === null) return
    entry.unsubscribe = session.subscribe(entry.subject, (bytes) => this.#received(entry, bytes))
    if (this.#link.state.state !== 'up') return
    const confirming = this.#link.confirm()
    entry.confirming = confirming
    void confirming.then((confirmed) => {
      if (entry.confirming !== confirming) return
      entry.confirming = null
      if (confirmed) entry.confirmed = ++this.#confirmations
    })
  }

  #readyOf({ confirmed, confirming }: Entry): Promise<boolean> | null {
    if (confirmed !== Infinity) return null
    return confirming === null ? Promise.resolve(false) : within(this.#runtime, confirming, MAX_WAIT_MS)
  }
}

/** The promise's value, or `false` when it does not settle in time. */
export function within(runtime: Runtime, promise: Promise<boolean>, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = runtime.setTimer(() => resolve(false), ms)
    void promise.then((value) => {
      timer.cancel()
      resolve(value)
    })
  })
}
