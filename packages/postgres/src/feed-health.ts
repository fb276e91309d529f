import type { FeedProgress } from '@tidewire/server'
import type { ChangeDispatcher } from './deliver/change-dispatcher.ts'
import type { Pipeline } from './deliver/pipeline.ts'
import type { FeedRuntime } from './feed-runtime.ts'
import type { FeedWindow } from './feed-window.ts'
import type { ChangeSource } from './replication/source/change-source-api.ts'
import type { ResumeQueue } from './subscribe/resume/resume-queue.ts'
import { Watchdog } from './watchdog.ts'

export interface FeedParts {
  readonly pipeline: Pipeline
  readonly dispatcher: ChangeDispatcher
  readonly resumes: ResumeQueue
  readonly window: FeedWindow
}

export interface HealthOptions {
  readonly stuckAfterMs: number
  readonly hasRelay: boolean
}

const ORDERED_PATH = 'The ordered path of row changes'
const UNREACHABLE = 'row changes stand still: the database does not answer'
const NO_RELAY = 'other servers read this database, and no relay is configured: broadcasts and presence do not reach their clients'

/** What the feed says of itself to load balancers, metrics and the inspector. */
export class FeedHealth {
  readonly #parts: FeedParts
  readonly #options: HealthOptions
  readonly #watchdog: Watchdog

  constructor(runtime: FeedRuntime, parts: FeedParts, options: HealthOptions) {
    const { pipeline, dispatcher, resumes } = parts
    this.#parts = parts
    this.#options = options
    const watched = [
      { name: ORDERED_PATH, hasWork: () => !pipeline.isIdle, progressed: () => pipeline.progressed, trouble: () => pipeline.trouble },
      {
        name: 'The lane of slow policies and filters',
        hasWork: () => dispatcher.lane.hasWork,
        progressed: () => dispatcher.lane.progressed,
        trouble: () => null,
      },
      { name: 'The queue of resuming channels', hasWork: () => resumes.hasWork, progressed: () => resumes.progressed, trouble: () => null },
    ]
    this.#watchdog = new Watchdog(runtime, watched, options.stuckAfterMs, ({ reason }) =>
      dispatcher.report.log('stuck', null, null, reason),
    )
  }

  progress(source: Pick<ChangeSource, 'serverLsn' | 'status' | 'peers'> | null, nowMs: number): FeedProgress {
    const { pipeline, dispatcher, window } = this.#parts
    const serverLsn = source?.serverLsn ?? 0n
    const waiting = [pipeline.oldest, dispatcher.lane.oldest].flatMap((change) =>
      change === null ? [] : Number(change.transaction.commitTime) / 1_000,
    )
    const noSource = source?.status.kind === 'waiting' ? `Row changes stand still: ${source.status.fault.message}` : null
    const trouble = noSource ?? pipeline.trouble
    const stuck = this.#watchdog.stuck.map(({ name }) => name)
    const lacksRelay = (source?.peers.length ?? 0) > 0 && !this.#options.hasRelay
    return {
      lagBytes: serverLsn > window.progress ? Number(serverLsn - window.progress) : 0,
      oldestAt: waiting.length === 0 ? null : Math.min(...waiting),
      trouble: trouble ?? this.#watchdog.stuck[0]?.reason ?? null,
      unready: this.#unready(trouble !== null, stuck),
      // For anybody: without what the network or the database said.
      degraded: trouble !== null ? UNREACHABLE : stuck.length > 0 ? `no progress: ${stuck.join(', ')}` : lacksRelay ? NO_RELAY : null,
      windowMs: window.ring.spanMs(nowMs),
      windowBytes: window.ring.bytes,
      faults: dispatcher.report.count,
    }
  }

  close(): void {
    this.#watchdog.close()
  }

  #unready(hasTrouble: boolean, stuck: readonly string[]): string | null {
    // A database that cannot be reached is every node's trouble: another node would do no better.
    if (!hasTrouble && stuck.includes(ORDERED_PATH)) return 'row changes stand still'
    if (this.#parts.window.isFilled) return null
    return hasTrouble ? 'the database does not give its changes' : 'the changes of the last while are still being read'
  }
}
