import { RealtimeError } from '@tidewire/protocol'

/** How often the source checks and reports, and how much it hands on at a time. */
export interface ChangeSourceTuning {
  /** How often the confirmed position is reported to Postgres and a sign of life asked for. Default 10,000. */
  readonly statusIntervalMs?: number
  /** How long a confirmation waits for others before it is reported. Default 250. */
  readonly reportDelayMs?: number
  /** How often publications and lag are checked. Default 5,000. */
  readonly checkIntervalMs?: number
  /** How often the source tries to advance the slot that holds the window. Default 10,000. */
  readonly advanceIntervalMs?: number
  /** Changes that are handed over at a time, at most. Default 256. */
  readonly maxBatchChanges?: number
}

const DEFAULTS = {
  statusIntervalMs: 10_000,
  reportDelayMs: 250,
  checkIntervalMs: 5_000,
  advanceIntervalMs: 10_000,
  maxBatchChanges: 256,
} as const satisfies Required<ChangeSourceTuning>

/** Fills in the defaults. Throws `bad-option` with every fault at once. */
export function resolveTuning(tuning: ChangeSourceTuning, faults: readonly string[]): Required<ChangeSourceTuning> {
  const all = [...faults]
  const resolved: Record<keyof ChangeSourceTuning, number> = { ...DEFAULTS }
  for (const name of Object.keys(DEFAULTS) as (keyof ChangeSourceTuning)[]) {
    const value = tuning[name] ?? DEFAULTS[name]
    if (Number.isSafeInteger(value) && value > 0) resolved[name] = value
    else all.push(`${name} must be a whole number above 0`)
  }
  if (all.length > 0) throw new RealtimeError('bad-option', `openChangeSource: ${all.join('; ')}.`)
  return resolved
}
