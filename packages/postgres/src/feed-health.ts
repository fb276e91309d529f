import type { TimerHandle } from '@tidewire/protocol'
import type { FeedProgress } from '@tidewire/server'
import type { ChangeDispatcher } from './deliver/change-dispatcher.ts'
import type { Pipeline } from './deliver/pipeline.ts'
import { every, type FeedRuntime } from './feed-runtime.ts'
import type { FeedSource, FeedTuning } from './feed-options.ts'
import type { FeedWindow } from './subscribe/resume/feed-window.ts'
import type { ResumeQueue } from './subscribe/resume/resume-queue.ts'

export interface FeedParts {
  readonly pipeline: Pipeline
  readonly dispatcher: ChangeDispatcher
  readonly resumes: ResumeQueue
  readonly window: FeedWindow
}

interface WatchedPart {
  /** Makes a sentence: `<name> has made no progress for 10 s`. */
  readonly name: string
  /** `progressed` grows whenever something is done. */
  readonly part: { readonly hasWork: boolean; readonly progressed: number; readonly trouble?: string | null }
  /** When it last had no work, or had made progress since the probe before. */
  movedAtMs: number
  progressed: number | null
  isStuck: boolean
}

const PROBE_INTERVAL_MS = 1_000

const UNREACHABLE = 'row changes stand still: the database does not answer'
const NO_RELAY = 'other servers read this database, and no relay is configured: broadcasts and presence do not reach their clients'

/** The feed's health, for load balancers, metrics and the inspector. Logs parts that have work and make no progress. */
export class FeedHealth {
  readonly #runtime: FeedRuntime
  readonly #parts: FeedParts
  readonly #tuning: FeedTuning
  readonly #watched: readonly WatchedPart[]
  readonly #timer: TimerHandle

  constructor(runtime: FeedRuntime, parts: FeedParts, tuning: FeedTuning) {
    this.#runtime = runtime
    this.#parts = parts
    this.#tuning = tuning
    this.#watched = [
      watch('The ordered path of row changes', parts.pipeline),
      watch('The path of slow policies and filters', parts.dispatcher.isolated),
      watch('The queue of resuming channels', parts.resumes),
    ]
    this.#timer = every(runtime, PROBE_INTERVAL_MS, () => this.#watched.forEach((each) => this.#probe(each)))
  }

  progress(source: FeedSource | null, nowMs: number): FeedProgress {
    const { pipeline, dispatcher, window } = this.#parts
    const serverLsn = source?.serverLsn ?? 0n
    const waiting = [pipeline.oldest, dispatcher.isolated.oldest].flatMap((change) =>
      change === null ? [] : Number(change.transaction.commitTime) / 1_000,
    )
    const noSource = source?.status.kind === 'waiting' ? `Row changes stand still: ${source.status.fault.message}` : null
    const trouble = noSource ?? pipeline.trouble
    const stuck = this.#watched.filter(({ isStuck }) => isStuck)
    const isPipelineStuck = stuck.some(({ part }) => part === pipeline)
    const stuckNames = stuck.map(({ name }) => name).join(', ')
    const lacksRelay = (source?.peers.length ?? 0) > 0 && !this.#tuning.hasRelay
    return {
      lagBytes: serverLsn > window.progress ? Number(serverLsn - window.progress) : 0,
      oldestAt: waiting.length === 0 ? null : Math.min(...waiting),
      trouble: trouble ?? (stuck[0] === undefined ? null : this.#describe(stuck[0])),
      unready: this.#unready(trouble !== null, isPipelineStuck),
      // Public: without what the network or the database said.
      degraded: trouble !== null ? UNREACHABLE : stuck.length > 0 ? `no progress: ${stuckNames}` : lacksRelay ? NO_RELAY : null,
      windowMs: window.ring.spanMs(nowMs),
      windowBytes: window.ring.bytes,
      faults: dispatcher.report.count,
    }
  }

  close(): void {
    this.#timer.cancel()
  }

  #unready(hasTrouble: boolean, isStuck: boolean): string | null {
    // A database that cannot be reached is every node's trouble: another node would do no better.
    if (!hasTrouble && isStuck) return 'row changes stand still'
    if (this.#parts.window.isFilled) return null
    return hasTrouble ? 'the database does not give its changes' : 'the changes of the last while are still being read'
  }

  /** Logs once each time that a part gets stuck. */
  #probe(watched: WatchedPart): void {
    const { hasWork, progressed } = watched.part
    const nowMs = this.#runtime.uptime()
    if (watched.progressed !== progressed || !hasWork) Object.assign(watched, { progressed, movedAtMs: nowMs, isStuck: false })
    else if (!watched.isStuck && nowMs - watched.movedAtMs >= this.#tuning.stuckAfterMs) {
      watched.isStuck = true
      this.#parts.dispatcher.report.log('stuck', null, null, this.#describe(watched))
    }
  }

  #describe({ name, part: { trouble = null } }: WatchedPart): string {
    const stalled = `${name} has made no progress for ${Math.round(this.#tuning.stuckAfterMs / 1_000)} s`
    return trouble === null ? stalled : `${stalled}: ${trouble}`
  }
}

function watch(name: string, part: WatchedPart['part']): WatchedPart {
  return { name, part, movedAtMs: 0, progressed: null, isStuck: false }
}
