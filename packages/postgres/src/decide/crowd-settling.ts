import type { RowChange } from '../replication/transaction-assembler.ts'
import type { Batch } from './batch.ts'
import { questionsOf, type Crowd, type CrowdQuestion } from './crowd.ts'
import { candidateFor, type Candidate } from './decision.ts'
import type { FeedChannel, Subscription } from '../subscribe/feed-channel.ts'
import type { Subscriptions } from '../subscribe/subscriptions.ts'
import { lacksValues, type Told } from '../deliver/supplied-columns.ts'
import type { SuspectLane } from './suspect-lane.ts'

/** The crowds of one batch, from what they ask to what is sent. Candidates are made when they are sent, change by change. */
export class CrowdSettling {
  /** What is asked together with the batch; suspects' questions are asked apart. */
  readonly questions: CrowdQuestion[] = []
  /** Candidates for those that are of no crowd any more since they were matched. */
  readonly former: Candidate[] = []
  readonly #suspects: CrowdQuestion[] = []
  readonly #asked: { readonly crowd: Crowd; readonly pairs: number; readonly questions: readonly CrowdQuestion[] }[] = []
  readonly #changes: readonly RowChange[]
  readonly #leftOut = new Set<FeedChannel>()
  #byChange: Map<RowChange, CrowdQuestion[]> | null = null

  constructor({ changes, crowds }: Batch, subscriptions: Subscriptions, suspects: SuspectLane) {
    this.#changes = changes
    for (const [crowd, wanted] of crowds) {
      const { oid } = wanted[0]!.table
      const { questions, former } = questionsOf(crowd, wanted, subscriptions.entryOf(oid))
      for (const question of questions) {
        if (suspects.holds(oid, question.identity)) this.#suspects.push(question)
        else this.questions.push(question)
      }
      for (const each of former) for (const change of each.changes) this.former.push(candidateFor(change, each.subscription))
      this.#asked.push({ crowd, questions, pairs: crowd.members.size * wanted.length })
    }
  }

  /** Those who get nothing of this here: what they may see is found out anew. */
  leaveOut(channels: ReadonlySet<FeedChannel>): void {
    for (const channel of channels) this.#leftOut.add(channel)
  }

  /** So that it is known how many deliveries the next changes make. */
  noteShares(): void {
    for (const { crowd, pairs, questions } of this.#asked) {
      const granted = questions.reduce((sum, question) => sum + question.granted.size * question.members.length, 0)
      if (pairs > 0) crowd.noteShare(granted / pairs)
    }
  }

  *granted(change: RowChange): Generator<Candidate> {
    for (const { members, granted } of this.#grantedByChange.get(change) ?? []) {
      const grant = granted.get(change)!
      for (const subscription of this.#staying(members)) yield { ...candidateFor(change, subscription), ...grant, allowed: true }
    }
  }

  /** Of tables of which the stream does not tell everything: what is told to those to whom it was granted. */
  *told(): Generator<Told> {
    for (const { granted, members, identity } of this.questions) {
      const lacking = [...granted].flatMap(([change, { content }]) =>
        content === 'key' || !lacksValues(change.table) ? [] : [content === 'image' ? change : content],
      )
      if (lacking.length === 0) continue
      const selections = new Set<string>()
      for (const { binding } of this.#staying(members)) if (binding !== null) selections.add(binding.columns)
      for (const change of lacking) for (const columns of selections) yield { change, columns, role: identity.role }
    }
  }

  /** Puts the candidates of suspects among those that are decided apart anyway, change by change. */
  *withSuspects(apart: readonly Candidate[]): Generator<Candidate> {
    if (this.#suspects.length === 0) return yield* apart
    const wanted = new Map<RowChange, CrowdQuestion[]>()
    for (const question of this.#suspects) for (const change of question.changes) push(wanted, change, question)
    const others = new Map<RowChange, Candidate[]>()
    for (const candidate of apart) push(others, candidate.change, candidate)
    for (const change of this.#changes) {
      yield* others.get(change) ?? []
      for (const { members } of wanted.get(change) ?? []) {
        for (const subscription of this.#staying(members)) yield candidateFor(change, subscription, { apart: true })
      }
    }
  }

  get #grantedByChange(): Map<RowChange, CrowdQuestion[]> {
    if (this.#byChange === null) {
      this.#byChange = new Map()
      for (const question of this.questions) for (const change of question.granted.keys()) push(this.#byChange, change, question)
    }
    return this.#byChange
  }

  *#staying(members: readonly Subscription[]): Generator<Subscription> {
    for (const subscription of members) if (!this.#leftOut.has(subscription.channel)) yield subscription
  }
}

function push<Key, Value>(lists: Map<Key, Value[]>, key: Key, value: Value): void {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [value])
  else list.push(value)
}
