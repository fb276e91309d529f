import { envelopeOf } from './frame.ts'
import type { RecordedFrame, Step, StepOf } from './transcript.ts'

/** A frame that must come. */
export interface Expectation {
  readonly step: StepOf<'receive'>
  /** Its place in the script. */
  readonly index: number
  /** The neighbour that may as well come first: the order of the two is not promised. */
  readonly twin: Expectation | null
  /** Set for what the database has to say about a subscription: it may come at any time after this answer to the join. */
  readonly follows: Expectation | null
  state: 'waiting' | 'done'
}

/** Without traffic for this long the recorder had stopped to listen: by then everything must have come. */
const QUIET_MS = 100

type Linked = Expectation & { twin: Expectation | null }

/** What each client must receive, in order. */
export function expectations(steps: readonly Step[]): Map<string, Expectation[]> {
  const byClient = new Map<string, Linked[]>()
  for (const [index, step] of steps.entries()) {
    if (step.kind !== 'receive') continue
    const list = byClient.get(step.client) ?? []
    list.push({ step, index, twin: null, follows: joinBehind(list, step.frame), state: 'waiting' })
    byClient.set(step.client, list)
  }
  for (const [client, list] of byClient) pairTwins(list, pushesOf(steps, client))
  return byClient
}

/**
 * The answer to a `presence` push and the diff that it caused come in either order, and so do the answer to a
 * `broadcast` push and the sender's own copy of it. Each answer has one twin, right beside it.
 */
function pairTwins(list: readonly Linked[], pushes: ReadonlyMap<string, string>): void {
  for (const [at, answer] of list.entries()) {
    const envelope = envelopeOf(answer.step.frame)
    if (envelope?.event !== 'phx_reply') continue
    const cause = pushes.get(`${envelope.topic} ${envelope.ref}`)
    const effect = cause === 'presence' ? 'presence_diff' : cause === 'broadcast' ? 'broadcast' : null
    const twin = [list[at - 1], list[at + 1]].find((near) => {
      const other = near === undefined || near.twin !== null ? null : envelopeOf(near.step.frame)
      return other !== null && other.event === effect && other.topic === envelope.topic
    })
    if (twin === undefined) continue
    answer.twin = twin
    twin.twin = answer
  }
}

/**
 * The last answer on the topic of a `system` message about Postgres changes. Such a message has no promised place (rule
 * J8): it comes when the database is ready.
 */
function joinBehind(list: readonly Expectation[], frame: RecordedFrame): Expectation | null {
  const envelope = envelopeOf(frame)
  if (envelope?.event !== 'system' || !/"extension": ?"postgres_changes"/.test(String(frame))) return null
  const answer = list.findLast(({ step }) => {
    const other = envelopeOf(step.frame)
    return other?.event === 'phx_reply' && other.topic === envelope.topic
  })
  return answer ?? null
}

/** The event of each push of a client, by topic and ref. */
function pushesOf(steps: readonly Step[], client: string): Map<string, string> {
  const pushes = new Map<string, string>()
  for (const step of steps) {
    if (step.kind !== 'send' || step.client !== client) continue
    const envelope = typeof step.frame === 'string' ? envelopeOf(step.frame) : binaryPush(step.frame)
    if (envelope !== null) pushes.set(`${envelope.topic} ${envelope.ref}`, envelope.event)
  }
  return pushes
}

/** Kinds 0 and 3 as clients send them; both are broadcasts in the recordings. */
function binaryPush(frame: Uint8Array): { readonly topic: string; readonly ref: string; readonly event: string } | null {
  const [kind, joinRefSize, refSize, topicSize] = frame
  if ((kind !== 0 && kind !== 3) || joinRefSize === undefined || refSize === undefined || topicSize === undefined) return null
  const bytes = Buffer.from(frame)
  const refStart = (kind === 3 ? 7 : 5) + joinRefSize
  const topicStart = refStart + refSize
  return {
    ref: bytes.toString('utf8', refStart, topicStart),
    topic: bytes.toString('utf8', topicStart, topicStart + topicSize),
    event: 'broadcast',
  }
}

/** True for steps that the player itself takes; all others happen to it. */
export function isAction(step: Step): boolean {
  return (
    step.kind === 'open' ||
    step.kind === 'send' ||
    step.kind === 'request' ||
    step.kind === 'sql' ||
    (step.kind === 'closed' && step.by === 'client')
  )
}

/**
 * Where an action begins: at its line, except that an HTTP call and a close are written down when they are over, after
 * the frames that they caused.
 */
export function beginningOf(steps: readonly Step[], index: number): number {
  const step = steps[index]!
  const effect = step.kind === 'request' ? 'broadcast' : step.kind === 'closed' ? 'presence_diff' : null
  if (effect === null) return index
  let start = index
  for (let at = index - 1; at >= 0; at--) {
    const before = steps[at]!
    if (before.kind !== 'receive' || envelopeOf(before.frame)?.event !== effect || isQuietBefore(steps, at + 1)) break
    start = at
  }
  return start
}

/** Whether the recorder had listened for a while before this point. */
export function isQuietBefore(steps: readonly Step[], index: number): boolean {
  const before = steps.findLast((step, at) => at < index && step.kind !== 'remark' && step.kind !== 'aside')
  return before !== undefined && steps[index]!.tMs - before.tMs >= QUIET_MS
}

/** The next action at or after `index`; with `afterQuiet`, the next that begins after a quiet time. */
export function nextAction(steps: readonly Step[], index: number, afterQuiet: boolean): number {
  for (let at = index; at < steps.length; at++) {
    if (!isAction(steps[at]!)) continue
    if (!afterQuiet || isQuietBefore(steps, beginningOf(steps, at))) return at
  }
  return steps.length
}

/** All texts that the clients of a recording sent; other texts were made by the server. */
export function saidByClients(steps: readonly Step[]): string {
  return steps
    .map((step) => {
      switch (step.kind) {
        case 'send':
          return typeof step.frame === 'string' ? step.frame.slice(0, 10_000) : Buffer.from(step.frame).toString()
        case 'open':
          return step.url
        case 'sql':
          return step.sql + JSON.stringify(step.params)
        case 'request':
          return JSON.stringify(step.request).slice(0, 10_000)
        default:
          return ''
      }
    })
    .join('\n')
}
