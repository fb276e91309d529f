import type { FeedProgress } from '@tidewire/server'
import type { ChangeDispatcher } from './deliver/change-dispatcher.ts'
import type { Pipeline } from './deliver/pipeline.ts'
import type { FeedRuntime } from './feed-runtime.ts'
import type { FeedSource, FeedTuning } from './feed-options.ts'
import type { FeedWindow } from './subscribe/resume/feed-window.ts'
import type { ResumeQueue } from './subscribe/resume/resume-queue.ts'
import { Watchdog, type WatchedPart } from './watchdog.ts'

export interface FeedParts {
  readonly pipeline: Pipeline
  readonly dispatcher: ChangeDispatcher
  readonly resumes: ResumeQueue
  readonly window: FeedWindow
}

const ORDERED_PATH = 'The ordered path of row changes'
const UNREACHABLE = 'row changes stand still: the database does not answer'
const NO_RELAY = 'other servers read this database, and no relay is configured: broadcasts and presence do not reach their clients'

/** The feed's health, for load balancers, metrics and the inspector. */
export class FeedHealth {
  readonly #parts: FeedParts
  readonly #hasRelay: boolean
  readonly #watchdog: Watchdog

  constructor(runtime: FeedRuntime, parts: FeedParts, { stuckAfterMs, hasRelay }: FeedTuning) {
    const { pipeline, dispatcher, resumes } = parts
    this.#parts = parts
    this.#hasRelay = hasRelay
    const watched = new Map<string, WatchedPart>([
      [ORDERED_PATH, pipeline],
      ['The path of slow policies and filters', dispatcher.isolated],
      ['The queue of resuming channels', resumes],
    ])
    this.#watchdog = new Watchdog(runtime, watched, stuckAfterMs, (reason) => dispatcher.report.log('stuck', null, null, reason))
  }

  progress(source: FeedSource | null, nowMs: number): FeedProgress {
    const { pipeline, dispatcher, window } = this.#parts
    const serverLsn = source?.serverLsn ?? 0n
    const waiting = [pipeline.oldest, dispatcher.isolated.oldest].flatMap((change) =>
      change === null ? [] : Number(change.transaction.commitTime) / 1_000,
    )
    const noSource = source?.status.kind === 'waiting' ? `Row changes stand still: ${source.status.fault.message}` : null
    const trouble = noSource ?? pipeline.trouble
    const { stuck } = this.#watchdog
    const lacksRelay = (source?.peers.length ?? 0) > 0 && !this.#hasRelay
    return {
      lagBytes: serverLsn > window.progress ? Number(serverLsn - window.progress) : 0,
      oldestAt: waiting.length === 0 ? null : Math.min(...waiting),
      trouble: trouble ?? [...stuck.values()][0] ?? null,
      unready: this.#unready(trouble !== null, stuck.has(ORDERED_PATH)),
      // For anybody: without what the network or the database said.
      degraded:
        trouble !== null ? UNREACHABLE : stuck.size > 0 ? `no progress: ${[...stuck.keys()].join(', ')}` : lacksRelay ? NO_RELAY : null,
      windowMs: window.ring.spanMs(nowMs),
      windowBytes: window.ring.bytes,
      faults: dispatcher.report.count,
    }
  }

  close(): void {
    this.#watchdog.close()
  }

  #unready(hasTrouble: boolean, isStuck: boolean): string | null {
    // A database that cannot be reached is every node's trouble: another node would do no better.
    if (!hasTrouble && isStuck) return 'row changes stand still'
    if (this.#parts.window.isFilled) return null
    return hasTrouble ? 'the database does not give its changes' : 'the changes of the last while are still being read'
  }
}
