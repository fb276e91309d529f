import type { FrameBounds, JoinBounds } from '@tidewire/protocol'
import { frameBounds, joinBounds } from '../limits/limits.ts'
import { SWEEP_INTERVAL_MS, type ResolvedServerOptions } from '../options.ts'
import type { BacklogLimits } from './backlog.ts'
import type { ConnectionOptions } from './connection-state.ts'

/** The limits of one socket. */
export interface ConnectionLimits extends ConnectionOptions {
  readonly backlog: BacklogLimits
  readonly frame: FrameBounds
  readonly join: JoinBounds
  readonly privateOnly: boolean
}

/** A receiver over `maxBacklogBytes` is closed after this pause; one below it after `maxStallMs`. */
const MAX_PAUSE_MS = 2_000

/** The limits of every socket, from the options of the server. Times become numbers of sweeps. */
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
