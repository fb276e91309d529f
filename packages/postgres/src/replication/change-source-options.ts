import { RealtimeError } from '@tidewire/protocol'
import type { ChangeSourceTimes } from './change-source-api.ts'

/** How often what is looked at and reported, and how much is handed on at a time. */
export interface ChangeSourceTuning {
  /** How often the confirmed position is reported to Postgres and a sign of life asked for. Default 10,000. */
  readonly statusIntervalMs?: number
  /** How long a confirmation waits for others before it is reported. Default 250. */
  readonly reportDelayMs?: number
  /** How often publications and lag are looked at. Default 5,000. */
  readonly checkIntervalMs?: number
  /** Changes of a batch, at most. Default 256. */
  readonly maxBatchChanges?: number
}

const DEFAULTS: ChangeSourceTimes = { statusIntervalMs: 10_000, reportDelayMs: 250, checkIntervalMs: 5_000, maxBatchChanges: 256 }

/** Fills in the defaults. Throws `bad-option` with every fault at once. */
export function resolveTuning(tuning: ChangeSourceTuning, faults: readonly string[] = []): ChangeSourceTimes {
  const all = [...faults]
  const resolved = { ...DEFAULTS }
  for (const name of Object.keys(DEFAULTS) as (keyof ChangeSourceTimes)[]) {
    const value = tuning[name] ?? DEFAULTS[name]
    if (Number.isSafeInteger(value) && value > 0) resolved[name] = value
    else all.push(`${name} must be a whole number above 0`)
  }
  if (all.length > 0) throw new RealtimeError('bad-option', `openChangeSource: ${all.join('; ')}.`)
  return resolved
}
