import { compareFrames, envelopeOf } from '../recording/frame.ts'
import type { Mismatch, Renaming } from '../recording/renaming.ts'
import type { Expectation } from '../recording/script.ts'
import type { RecordedFrame } from '../recording/transcript.ts'

/** How far the script has come, as places in it. */
export interface Window {
  /** What stands before this may be due by now. */
  readonly due: number
  /** What stands before this may have come a little early. */
  readonly burst: number
  /** Whether a line has been played. */
  readonly played: (line: number) => boolean
}

/** What a frame turned out to be. */
export type Arrival =
  | { readonly kind: 'as recorded'; readonly expected: Expectation }
  | { readonly kind: 'out of order'; readonly expected: Expectation; readonly instead: Expectation }
  | { readonly kind: 'differs'; readonly expected: Expectation; readonly mismatch: Mismatch }
  | { readonly kind: 'not recorded' }

/** What one client must still receive. */
export class Inbox {
  readonly #expected: readonly Expectation[]
  readonly #renaming: Renaming

  constructor(expected: readonly Expectation[], renaming: Renaming) {
    this.#expected = expected
    this.#renaming = renaming
  }

  /** What should have come before a place in the script, and has not. */
  missingBefore(index: number): readonly Expectation[] {
    return this.#expected.filter((expected) => expected.index < index && expected.state === 'waiting')
  }

  /** Finds the place of a frame that came, and takes it from what is awaited. */
  take(frame: RecordedFrame, window: Window): Arrival {
    const arrival = this.#place(frame, window)
    if (arrival.kind !== 'not recorded') arrival.expected.state = 'done'
    return arrival
  }

  #place(frame: RecordedFrame, { due, burst, played }: Window): Arrival {
    const waiting = this.#expected.filter(({ state }) => state === 'waiting')
    const ordered = waiting.filter(({ step, follows }) => step.anytimeFrom === undefined && follows === null)
    const [next, second] = ordered
    const reachable = next === undefined ? [] : second !== undefined && next.twin === second ? [next, second] : [next]
    const loose = waiting.filter(({ step, follows }) =>
      step.anytimeFrom === undefined ? follows?.state === 'done' : played(step.anytimeFrom),
    )
    const inOrder =
      reachable.find((expected) => expected.index < burst && this.#matches(expected, frame)) ??
      loose.find((expected) => this.#matches(expected, frame))
    if (inOrder !== undefined) return { kind: 'as recorded', expected: inOrder }
    const early = ordered.find((expected) => expected.index < due && this.#matches(expected, frame))
    if (early !== undefined) return { kind: 'out of order', expected: early, instead: next! }
    for (const expected of reachable) {
      if (expected.index >= due || !sameMessage(expected.step.frame, frame)) continue
      const mismatch = compareFrames(this.#renaming, expected.step.frame, frame)
      if (mismatch !== null) return { kind: 'differs', expected, mismatch }
    }
    return { kind: 'not recorded' }
  }

  #matches(expected: Expectation, frame: RecordedFrame): boolean {
    return compareFrames(this.#renaming, expected.step.frame, frame) === null
  }
}

/** The same message as recorded, only different: the same answer, or the same event on the same topic. */
function sameMessage(recorded: RecordedFrame, actual: RecordedFrame): boolean {
  const [was, is] = [envelopeOf(recorded), envelopeOf(actual)]
  return was !== null && is !== null && was.topic === is.topic && was.event === is.event && was.ref === is.ref
}
