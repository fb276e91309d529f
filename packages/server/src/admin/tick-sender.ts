import type { AdminTick } from '@tidewire/protocol'
import type { TimerHandle } from '../ports.ts'
import type { AdminView } from './admin-view.ts'
import type { Inspector } from './inspector.ts'
import type { RecentDecisions } from './recent-decisions.ts'
import { LiveDirectory } from './live-directory.ts'
import { Traffic } from './traffic.ts'

const LOG_INTERVAL_MS = 100
const LOGS_A_TICK = 5

/** The inspectors that are joined. */
export interface Inspectors {
  all(): Iterable<Inspector>
  /** The key of an inspector has expired. It must be gone when this returns. */
  expired(inspector: Inspector): void
}

/** Sends the log and the figures (rule I4). Exists only while an inspector is joined. */
export class TickSender {
  readonly directory: LiveDirectory
  readonly traffic: Traffic
  readonly #view: AdminView
  readonly #inspectors: Inspectors
  readonly #unobserve: () => void
  /** `null`: stopped. */
  #timer: TimerHandle | null
  #logs = 0
  #tickAt: number

  constructor(view: AdminView, decisions: RecentDecisions, inspectors: Inspectors) {
    const { runtime, connections, topics } = view
    this.#view = view
    this.#inspectors = inspectors
    this.directory = new LiveDirectory(connections, topics, (connection, code) => ({
      code,
      reason: decisions.about(connection, null).find(({ kind }) => kind === 'connection-closed')?.detail ?? '',
      at: runtime.now(),
    }))
    this.traffic = new Traffic(this.directory, runtime)
    for (const topic of topics.all()) this.traffic.channels += topic.size
    this.#unobserve = view.watch(this.traffic)
    this.#tickAt = runtime.uptime()
    this.#timer = runtime.setTimer(() => this.#step(), LOG_INTERVAL_MS)
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = null
    this.#unobserve()
  }

  #step(): void {
    const { runtime } = this.#view
    for (const inspector of this.#inspectors.all()) {
      if (runtime.now() >= inspector.expiresAtMs) this.#inspectors.expired(inspector)
      else if (!inspector.isBehind) {
        const log = inspector.log.take()
        if (log !== null) inspector.notify('admin_log', log)
      }
    }
    if (++this.#logs % LOGS_A_TICK === 0) this.#tick()
    if (this.#timer !== null) this.#timer = runtime.setTimer(() => this.#step(), LOG_INTERVAL_MS)
  }

  #tick(): void {
    const tick = this.#takeTick()
    for (const inspector of this.#inspectors.all()) {
      if (inspector.isBehind) {
        inspector.missedTicks = true
        continue
      }
      if (inspector.missedTicks) inspector.notify('admin_state', this.directory.state())
      inspector.missedTicks = false
      inspector.notify('admin_tick', tick)
    }
  }

  #takeTick(): AdminTick {
    const { runtime, connections } = this.#view
    const { traffic, directory } = this
    const now = runtime.now()
    const seconds = Math.max(0.001, (runtime.uptime() - this.#tickAt) / 1_000)
    this.#tickAt = runtime.uptime()
    const progress = this.#view.feedProgress()
    const link = this.#view.node?.link
    const alone = link?.state === 'down' ? `There is no way to the other nodes: ${link.detail}` : null
    const trouble = connections.draining ? 'The server is shutting down.' : (progress?.trouble ?? alone)
    const counts = traffic.takeCounts()
    const changes = directory.takeChanges()
    return {
      at: now,
      healthy: trouble === null,
      trouble,
      connections: connections.size,
      channels: traffic.channels,
      receivedPerSecond: Math.round(counts.received / seconds),
      deliveredPerSecond: Math.round(counts.delivered / seconds),
      fanOut: traffic.fanOut.take(),
      insertToFrame: traffic.insertToFrame.take(),
      feed:
        progress === null
          ? null
          : { lagBytes: progress.lagBytes, lagMs: progress.oldestAt === null ? 0 : Math.max(0, Math.round(now - progress.oldestAt)) },
      topics: changes.topics,
      connectionsChanged: changes.connections,
    }
  }
}
