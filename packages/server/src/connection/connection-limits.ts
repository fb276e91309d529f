import type { FrameBounds, JoinBounds } from '@tidewire/protocol'
import { frameBounds, joinBounds } from '../limits/limits.ts'
import { SWEEP_INTERVAL_MS, type ResolvedServerOptions } from '../options.ts'
import type { BacklogLimits } from './backlog.ts'
import type { ConnectionOptions } from './connection-state.ts'

export interface ConnectionLimits extends ConnectionOptions {
  readonly backlog: BacklogLimits
  readonly frame: FrameBounds
  readonly join: JoinBounds
  readonly privateOnly: boolean
}

/** A receiver over its backlog that takes nothing for so long is closed, sooner than one that holds little. */
const MAX_PAUSE_MS = 2_000

export function connectionLimits(options: ResolvedServerOptions): ConnectionLimits {
  return {
    maxQuietSweeps: Math.ceil(options.idleTimeoutMs / SWEEP_INTERVAL_MS),
    maxCongestedSweeps: Math.ceil(options.maxStallMs / SWEEP_INTERVAL_MS),
    maxClosingSweeps: Math.ceil(options.drainTimeoutMs / SWEEP_INTERVAL_MS),
    backlog: {
      maxBytes: options.maxBacklogBytes,
      maxMovingBytes: Math.max(options.maxBacklogBytes, options.maxMovingBacklogBytes),
      maxPauseMs: Math.min(MAX_PAUSE_MS, options.maxStallMs),
      maxWaitMs: options.maxStallMs,
    },
    frame: frameBounds(options.limits),
    join: joinBounds(options.limits),
    privateOnly: options.privateOnly,
  }
}
