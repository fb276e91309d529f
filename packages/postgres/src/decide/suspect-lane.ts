import type { RowChange } from '../replication/transaction-assembler.ts'
import type { Candidate, DecisionFault } from './decision.ts'
import { isAuthorizedDelete, type Subscription } from '../subscribe/feed-channel.ts'
import type { FeedRuntime } from '../feed-runtime.ts'
import type { CheckIdentity } from '../catalog/identity.ts'
import { faultOf } from '../subscribe/table-feed.ts'

interface Suspect {
  /** Nothing is asked before this. */
  untilMs: number
  backoffMs: number
  waiting: number
  successes: number
}

const FIRST_BACKOFF_MS = 1_000
const MAX_BACKOFF_MS = 60_000
const MAX_WAITING = 10_000
const CLEARED_AFTER = 3
const CHUNK = 256

/**
 * Identities whose policies failed or took too long wait in a lane of their own, so that nobody else waits for them. While
 * one is backing off, its changes are withheld; it was told.
 */
export class SuspectLane {
  readonly #runtime: FeedRuntime
  readonly #decide: (candidates: readonly Candidate[]) => Promise<readonly DecisionFault[]>
  readonly #suspects = new Map<string, Suspect>()
  #waiting: Candidate[] = []
  #running = false

  constructor(runtime: FeedRuntime, decide: (candidates: readonly Candidate[]) => Promise<readonly DecisionFault[]>) {
    this.#runtime = runtime
    this.#decide = decide
  }

  /** Whether this was not known of the identity before. */
  add({ entry, identity, timedOut }: DecisionFault): boolean {
    const key = `${entry.oid} ${identity!.key}`
    const known = this.#suspects.get(key)
    const backoffMs = known === undefined || known.backoffMs === 0 ? FIRST_BACKOFF_MS : Math.min(known.backoffMs * 2, MAX_BACKOFF_MS)
    const suspect = known ?? { untilMs: 0, backoffMs: 0, waiting: 0, successes: 0 }
    suspect.successes = 0
    if (timedOut) {
      suspect.backoffMs = backoffMs
      suspect.untilMs = this.#runtime.uptime() + backoffMs
    }
    this.#suspects.set(key, suspect)
    return known === undefined
  }

  /** Whether the change goes this way instead. */
  has(subscription: Subscription, change: RowChange): boolean {
    const { binding, oid } = subscription
    if (this.#suspects.size === 0 || binding === null || binding.identity === null) return false
    if ((change.action === 'DELETE' && !isAuthorizedDelete(subscription, change)) || faultOf(binding, change) !== null) return false
    return this.holds(oid, binding.identity)
  }

  /** Whether the identity's changes of the table go this way instead. */
  holds(oid: number, { key }: CheckIdentity): boolean {
    return this.#suspects.size > 0 && this.#suspects.has(`${oid} ${key}`)
  }

  enqueue(candidates: Iterable<Candidate>): void {
    for (const each of candidates) {
      const suspect = this.#suspects.get(suspectKey(each))
      if (suspect !== undefined && this.#runtime.uptime() < suspect.untilMs) continue
      if (this.#waiting.length >= MAX_WAITING) continue
      if (suspect !== undefined) suspect.waiting++
      this.#waiting.push(each)
    }
    if (this.#running || this.#waiting.length === 0) return
    this.#running = true
    void this.#runAll()
  }

  async #runAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, CHUNK)
      let faults: readonly DecisionFault[] = []
      try {
        faults = await this.#decide(batch)
      } catch {
        // The database does not answer: what cannot be decided is withheld.
      }
      for (const fault of faults) if (fault.identity !== null) this.add(fault)
      this.#settle(batch, faults)
    }
    this.#running = false
  }

  #settle(batch: readonly Candidate[], faults: readonly DecisionFault[]): void {
    const failed = new Set(faults.map(({ entry, identity }) => `${entry.oid} ${identity?.key}`))
    for (const each of batch) {
      const key = suspectKey(each)
      const suspect = this.#suspects.get(key)
      if (suspect === undefined) continue
      suspect.waiting--
      if (!failed.has(key)) suspect.successes++
      if (suspect.successes >= CLEARED_AFTER && suspect.waiting <= 0) this.#suspects.delete(key)
    }
  }
}

function suspectKey({ subscription: { oid, binding } }: Candidate): string {
  return `${oid} ${binding?.identity?.key}`
}
