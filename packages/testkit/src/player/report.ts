import type { Mismatch } from '../recording/renaming.ts'

/** One way in which what came is not what was recorded. */
export interface Difference {
  readonly line: number
  /** The client, or the label of an HTTP call. */
  readonly client: string
  readonly kind: 'missing' | 'not recorded' | 'differs' | 'out of order' | 'answer differs' | 'connection differs' | 'no answer'
  readonly recorded?: string
  readonly actual?: string
  readonly detail?: string
}

export interface PlayReport {
  readonly name: string
  /** Frames and answers that were compared. */
  readonly compared: number
  readonly differences: readonly Difference[]
}

/** All differences of a recording, for a failing test's message; empty when there are none. */
export function formatReport(report: PlayReport): string {
  return report.differences.map((difference) => formatDifference(report.name, difference)).join('\n\n')
}

function formatDifference(name: string, { line, client, kind, recorded, actual, detail }: Difference): string {
  return [
    `${name}.jsonl:${line} ${client}: ${kind}`,
    recorded === undefined ? null : `  recorded  ${recorded}`,
    actual === undefined ? null : `  came      ${actual}`,
    detail === undefined ? null : `  ${detail}`,
  ]
    .filter((text) => text !== null)
    .join('\n')
}

export function describeMismatch({ path, detail }: Mismatch): string {
  return path.length === 0 ? detail : `at ${path.join('.')}: ${detail}`
}
