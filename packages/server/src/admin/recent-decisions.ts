import type { Decision } from '../ports.ts'

export interface DatedDecision extends Decision {
  /** Unix milliseconds. */
  readonly at: number
}

/** Decisions that are kept. An inspector is opened because of a refusal, which came before it. */
const KEPT = 200

/** The last decisions of a server. */
export class RecentDecisions {
  readonly #kept: DatedDecision[] = []
  #next = 0

  add(decision: Decision, at: number): void {
    this.#kept[this.#next] = { ...decision, at }
    this.#next = (this.#next + 1) % KEPT
  }

  /** The decisions about a connection and a topic, where given, and about the whole socket; newest first. */
  about(connection: string | null, topic: { readonly name: string; readonly private: boolean } | null): readonly DatedDecision[] {
    const order = [...this.#kept.slice(this.#next), ...this.#kept.slice(0, this.#next)].toReversed()
    return order.filter(
      (decision) =>
        (connection === null || decision.connection === connection) &&
        (topic === null || (decision.topic === undefined ? connection !== null : isAbout(decision, topic))),
    )
  }
}

/** Where a decision does not say whether its topic is private, both topics of the name count. */
function isAbout(decision: Decision, topic: { readonly name: string; readonly private: boolean }): boolean {
  return decision.topic === topic.name && (decision.private ?? topic.private) === topic.private
}
