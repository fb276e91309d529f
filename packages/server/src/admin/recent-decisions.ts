import type { Decision } from '../ports.ts'

export interface DatedDecision extends Decision {
  /** Unix milliseconds. */
  readonly at: number
}

/** So many are kept: what was refused before the inspector was opened is what it is opened for. */
const KEPT = 200

/** The last decisions of a server. */
export class RecentDecisions {
  readonly #kept: DatedDecision[] = []
  #next = 0

  add(decision: Decision, at: number): void {
    this.#kept[this.#next] = { ...decision, at }
    this.#next = (this.#next + 1) % KEPT
  }

  /** Those of a connection and a topic, as far as they are given, with those of the whole socket; the newest first. */
  about(connection: string | null, topic: { readonly name: string; readonly private: boolean } | null): readonly DatedDecision[] {
    const order = [...this.#kept.slice(this.#next), ...this.#kept.slice(0, this.#next)].toReversed()
    return order.filter(
      (decision) =>
        (connection === null || decision.connection === connection) &&
        (topic === null || (decision.topic === undefined ? connection !== null : isAbout(decision, topic))),
    )
  }
}

/** The one of the same name, where it is not known which one was meant. */
function isAbout(decision: Decision, topic: { readonly name: string; readonly private: boolean }): boolean {
  return decision.topic === topic.name && (decision.private ?? topic.private) === topic.private
}
