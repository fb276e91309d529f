import { hostname } from 'node:os'
import { RealtimeError } from '@tidewire/protocol'
import { DEFAULT_TUNING } from '../../feed-options.ts'
import type { ChangeSource, ChangeSourceTuning } from '../../replication/source/change-source-api.ts'
import { ReplicationSource } from '../../replication/source/change-source.ts'
import { nodeRuntime } from '../node-runtime.ts'
import { replicationPort } from './replication-attempt.ts'
import type { OpenChangeSourceOptions } from './replication-target.ts'
import { isSlotBase, nodeInCopyName } from './slot.ts'

/**
 * Opens the feed of row changes. It returns at once and connects by itself, as often as it takes; `handlers.onStatus`
 * gets its state. Throws `bad-option` when the options cannot be.
 */
export function openChangeSource(options: OpenChangeSourceOptions): ChangeSource {
  const slotBase = options.slot ?? 'tidewire'
  const tuning = resolveTuning(options, [
    ...(isSlotBase(slotBase) ? [] : ['slot must be 1 to 50 lower case letters, digits and underscores']),
    ...(options.publications.length > 0 ? [] : ['publications must name at least one']),
  ])
  const port = replicationPort({
    temporarySlot: false,
    node: `${hostname()}_${process.pid}`,
    windowBytes: DEFAULT_TUNING.maxWalBytes,
    ...options,
    slotBase,
    connection: { connectionString: options.connection, keepAlive: true, connectionTimeoutMillis: 10_000 },
    siblings: new Set(options.siblings?.map((name) => nodeInCopyName(slotBase, name))),
  })
  return new ReplicationSource(port, nodeRuntime, tuning, options.handlers)
}

const DEFAULTS = {
  statusIntervalMs: 10_000,
  nudgeIntervalMs: 500,
  reportDelayMs: 100,
  checkIntervalMs: 5_000,
  advanceIntervalMs: 10_000,
  maxBatchChanges: 256,
} as const satisfies Required<ChangeSourceTuning>

/** Fills in the defaults. Throws `bad-option` with every fault at once. */
function resolveTuning(tuning: ChangeSourceTuning, faults: readonly string[]): Required<ChangeSourceTuning> {
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
