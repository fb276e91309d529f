import type { RecordedFrame, RecordedResponse, Step, Transcript } from '../recording/transcript.ts'

/** A difference between the recording and our server that is wanted. */
export interface Deviation {
  readonly recording: string
  /** The line of the recording that is otherwise with us. */
  readonly line: number
  /** The rule of PROTOCOL.md, "Deliberate differences". */
  readonly rule: string
  readonly reason: string
  readonly change: Change
}

export type Change =
  /** Another frame comes in its place. */
  | { readonly kind: 'instead'; readonly frame: RecordedFrame }
  /** The payload of the frame, which is an object, has these members more. */
  | { readonly kind: 'extended'; readonly payload: Readonly<Record<string, unknown>> }
  /** The frame does not come. */
  | { readonly kind: 'absent' }
  /** The frame comes right after line `line` is played. */
  | { readonly kind: 'moved'; readonly line: number }
  /** The frame comes at any time after line `line` is played: its place among the others is no promise. */
  | { readonly kind: 'anytime'; readonly line: number }
  /** Further frames come once this line has been played. */
  | { readonly kind: 'also'; readonly client: string; readonly frames: readonly RecordedFrame[] }
  /** An HTTP answer differs in these points; a header that is null is not sent. */
  | {
      readonly kind: 'response'
      readonly status?: number
      readonly headers?: Readonly<Record<string, string | null>>
      readonly body?: string
    }
  /** An upgrade that the reference refuses is let in. */
  | { readonly kind: 'opens' }
  | { readonly kind: 'closed'; readonly code: number; readonly reason?: string }

/**
 * Writes the wanted differences into the script, which then holds to the letter: a difference that no longer occurs is
 * as much a failure as a new one. Throws for a deviation that fits nothing.
 */
export function amended(transcript: Transcript, deviations: readonly Deviation[]): readonly Step[] {
  let steps = [...transcript.steps]
  for (const deviation of deviations) {
    if (deviation.recording !== transcript.name) continue
    const index = steps.findIndex((step) => step.line === deviation.line)
    const step = steps[index]
    if (step === undefined) throw misfit(deviation, 'there is no such line')
    const changed = change(steps, index, step, deviation)
    if (changed === null) throw misfit(deviation, `"${deviation.change.kind}" does not go with a line that says "${step.kind}"`)
    steps = changed
  }
  return steps
}

function change(steps: readonly Step[], index: number, step: Step, deviation: Deviation): Step[] | null {
  const wanted = deviation.change
  switch (wanted.kind) {
    case 'instead':
      return step.kind === 'receive' ? steps.with(index, { ...step, frame: wanted.frame }) : null
    case 'extended': {
      const frame = step.kind === 'receive' ? extended(step.frame, wanted.payload) : null
      return step.kind === 'receive' && frame !== null ? steps.with(index, { ...step, frame }) : null
    }
    case 'absent':
      return step.kind === 'receive' ? steps.toSpliced(index, 1) : null
    case 'moved': {
      const others = steps.toSpliced(index, 1)
      const target = others.findIndex((other) => other.line === wanted.line)
      if (step.kind !== 'receive' || target < 0) return null
      return others.toSpliced(target + 1, 0, { ...step, tMs: others[target]!.tMs })
    }
    case 'anytime':
      return step.kind === 'receive' && wanted.line < step.line ? steps.with(index, { ...step, anytimeFrom: wanted.line }) : null
    case 'also': {
      const { line, tMs } = step
      const frames = wanted.frames.map((frame): Step => ({ kind: 'receive', line, tMs, client: wanted.client, frame }))
      return steps.toSpliced(index + 1, 0, ...frames)
    }
    case 'response':
      return step.kind === 'request' || step.kind === 'refused'
        ? steps.with(index, { ...step, response: otherwise(step.response, wanted) })
        : null
    case 'opens':
      return step.kind === 'refused' ? letIn(steps, index, step.client) : null
    case 'closed':
      return step.kind === 'closed' ? steps.with(index, { ...step, code: wanted.code, reason: wanted.reason ?? step.reason }) : null
  }
}

function extended(frame: RecordedFrame, members: Readonly<Record<string, unknown>>): string | null {
  if (typeof frame !== 'string') return null
  const message = JSON.parse(frame) as { payload: object } | unknown[]
  if (Array.isArray(message)) return JSON.stringify(message.with(4, { ...(message[4] as object), ...members }))
  return JSON.stringify({ ...message, payload: { ...message.payload, ...members } })
}

function otherwise(response: RecordedResponse, wanted: Extract<Change, { kind: 'response' }>): RecordedResponse {
  const headers: Record<string, string> = { ...response.headers }
  for (const [name, value] of Object.entries(wanted.headers ?? {})) {
    if (value === null) delete headers[name]
    else headers[name] = value
  }
  return { status: wanted.status ?? response.status, headers, body: wanted.body ?? response.body }
}

/** The refusal becomes an open socket, and the failure that followed it an orderly close by the client. */
function letIn(steps: readonly Step[], index: number, client: string): Step[] {
  return steps.map((step, at): Step => {
    if (at === index) return { kind: 'opened', line: step.line, tMs: step.tMs, client }
    return step.kind === 'closed' && step.client === client && step.code === 1006 ? { ...step, code: 1000, by: 'client' } : step
  })
}

function misfit(deviation: Deviation, detail: string): TypeError {
  return new TypeError(`deviation ${deviation.rule} of ${deviation.recording}:${deviation.line}: ${detail}`)
}
