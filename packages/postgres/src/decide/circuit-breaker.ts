import { audienceKey, type Audience } from '../subscribe/audience.ts'
import type { DecisionFault } from './decision.ts'

interface Circuit {
  /** No question is asked before this. */
  openUntilMs: number
  backoffMs: number
  /** Questions in a row that were answered, and fast. */
  successes: number
  /** Its channels know of the fault. */
  notified: boolean
}

const FIRST_BACKOFF_MS = 1_000
const MAX_BACKOFF_MS = 60_000
/** An answer that took longer does not count as a sign of health. */
export const SLOW_MS = 50
const CLEARED_AFTER = 3
/** The machine or the disk may cause one slow answer. */
const SUSPECTED_AFTER = 3

/**
 * Remembers audiences whose policies or filters failed or were slow. They are decided in isolation, one by one, and after a time-out
 * not at all for a while. An audience that answers fast again is cleared.
 */
export class CircuitBreaker {
  readonly #circuits = new Map<string, Circuit>()
  /** Slow answers in a row of audiences that are not suspected yet. */
  readonly #slow = new Map<Audience, number>()

  /** Whether the audience is to be decided in isolation. */
  holds(audience: Audience): boolean {
    return this.#circuits.size > 0 && keysOf(audience).some((key) => this.#circuits.has(key))
  }

  /** Until when the audience's changes are withheld; 0: they are not. */
  openUntil(audience: Audience, nowMs: number): number {
    if (this.#circuits.size === 0) return 0
    const until = Math.max(0, ...keysOf(audience).map((key) => this.#circuits.get(key)?.openUntilMs ?? 0))
    return until > nowMs ? until : 0
  }

  /** Records a fault. Returns whether it is new to the audience's channels. */
  failed(audience: Audience, { kind, timedOut }: Pick<DecisionFault, 'kind' | 'timedOut'>, nowMs: number): boolean {
    const key = kind === 'filter' ? audienceKey(audience) : policyKey(audience)
    const circuit = this.#circuits.get(key) ?? this.#add(key)
    circuit.successes = 0
    if (timedOut) {
      circuit.backoffMs = circuit.backoffMs === 0 ? FIRST_BACKOFF_MS : Math.min(circuit.backoffMs * 2, MAX_BACKOFF_MS)
      circuit.openUntilMs = nowMs + circuit.backoffMs
    }
    const isNews = !circuit.notified
    circuit.notified = true
    return isNews
  }

  /** Counts slow calls of audiences that were decided together. Several in a row make an audience suspect. */
  decidedTogether(all: () => ReadonlySet<Audience>, slow: ReadonlySet<Audience>): void {
    if (this.#slow.size > 0) {
      const asked = all()
      for (const audience of this.#slow.keys())
        if (isLeft(audience) || (asked.has(audience) && !slow.has(audience))) this.#slow.delete(audience)
    }
    for (const audience of slow) {
      const times = (this.#slow.get(audience) ?? 0) + 1
      this.#slow.set(audience, times)
      if (times < SUSPECTED_AFTER) continue
      this.#slow.delete(audience)
      this.suspect(audience)
    }
  }

  /** The audience was part of a slow question. It is asked alone from now on, which shows whether it was the slow one. */
  suspect(audience: Audience): void {
    const key = audience.filters.length > 0 ? audienceKey(audience) : policyKey(audience)
    if (!this.#circuits.has(key)) this.#add(key)
  }

  /** Counts an answer without a fault. Several fast ones in a row clear the audience. */
  answered(audience: Audience, tookMs: number): void {
    for (const key of keysOf(audience)) {
      const circuit = this.#circuits.get(key)
      if (circuit === undefined) continue
      circuit.successes = tookMs < SLOW_MS ? circuit.successes + 1 : 0
      if (circuit.successes >= CLEARED_AFTER) this.#circuits.delete(key)
    }
  }

  #add(key: string): Circuit {
    const circuit = { openUntilMs: 0, backoffMs: 0, successes: 0, notified: false }
    this.#circuits.set(key, circuit)
    return circuit
  }
}

/** Whether its members have gone, or belong to an audience of a newer version of the table. */
function isLeft(audience: Audience): boolean {
  for (const subscription of audience.members) if (subscription.audience === audience) return false
  return true
}

/** Filters fail for the audience, policies for all of its identity's audiences of the table. */
function keysOf(audience: Audience): readonly string[] {
  return [audienceKey(audience), policyKey(audience)]
}

function policyKey({ table, identity, role }: Audience): string {
  return `${table.oid} ${identity?.key ?? role}`
}
