import type { AdminConnection, AdminLog, AdminLogRow, AdminState, AdminTick, AdminTopic } from '@tidewire/protocol'
import { mergedLatencies } from './latency.ts'

interface Part {
  readonly topics: Map<string, AdminTopic>
  readonly connections: Map<string, AdminConnection>
  moreTopics: number
  moreConnections: number
  /** Ticks since the last merged one, latest last. */
  ticks: AdminTick[]
  lastTick: AdminTick | null
}

/** Merges the state, ticks and logs of the processes of one server, for one inspector. */
export class FleetView {
  readonly #parts = new Map<string, Part>()
  readonly #changedTopics = new Set<string>()
  #changedConnections: AdminConnection[] = []
  #rows: AdminLogRow[] = []
  #skipped = 0
  #rowCount = 0

  /** `process` names one process. Its connections have ids that no other process uses. */
  setState(process: string, { topics, connections, moreTopics, moreConnections }: AdminState): void {
    const part = this.#partOf(process)
    part.topics.clear()
    part.connections.clear()
    for (const topic of topics) part.topics.set(keyOf(topic), topic)
    for (const connection of connections) part.connections.set(connection.id, connection)
    part.moreTopics = moreTopics
    part.moreConnections = moreConnections
  }

  addTick(process: string, tick: AdminTick): void {
    const part = this.#partOf(process)
    for (const topic of tick.topics) {
      const key = keyOf(topic)
      if (topic.members === 0) part.topics.delete(key)
      else part.topics.set(key, topic)
      this.#changedTopics.add(key)
    }
    for (const connection of tick.connectionsChanged) {
      if (connection.closed === undefined) part.connections.set(connection.id, connection)
      else part.connections.delete(connection.id)
    }
    this.#changedConnections.push(...tick.connectionsChanged)
    part.ticks.push(tick)
    part.lastTick = tick
  }

  addLog(log: AdminLog): void {
    for (const row of log.rows) this.#rows.push({ ...row, id: ++this.#rowCount })
    this.#skipped += log.skipped
  }

  /** Forgets processes that are not among these. Returns whether there were any. */
  keepOnly(processes: ReadonlySet<string>): boolean {
    const gone = [...this.#parts.keys()].filter((process) => !processes.has(process))
    for (const process of gone) this.#parts.delete(process)
    return gone.length > 0
  }

  state(): AdminState {
    const parts = [...this.#parts.values()]
    const keys = new Set(parts.flatMap(({ topics }) => [...topics.keys()]))
    return {
      topics: Array.from(keys, (key) => this.#topic(key)),
      connections: parts.flatMap(({ connections }) => [...connections.values()]),
      moreTopics: sum(parts, ({ moreTopics }) => moreTopics),
      moreConnections: sum(parts, ({ moreConnections }) => moreConnections),
    }
  }

  /** Merges all ticks since the last call; `own` is the last one of this process. */
  takeTick(own: AdminTick): AdminTick {
    const parts = [...this.#parts.values()]
    const last = parts.flatMap(({ lastTick }) => (lastTick === null ? [] : [lastTick]))
    const since = parts.flatMap(({ ticks }) => ticks)
    const feeds = last.flatMap(({ feed }) => (feed === null ? [] : [feed]))
    const trouble = own.trouble ?? last.find((tick) => tick.trouble !== null)?.trouble ?? null
    const tick: AdminTick = {
      at: own.at,
      healthy: trouble === null,
      trouble,
      connections: sum(last, ({ connections }) => connections),
      channels: sum(last, ({ channels }) => channels),
      receivedPerSecond: sum(last, ({ receivedPerSecond }) => receivedPerSecond),
      deliveredPerSecond: sum(last, ({ deliveredPerSecond }) => deliveredPerSecond),
      fanOut: mergedLatencies(since.map(({ fanOut }) => fanOut)),
      insertToFrame: mergedLatencies(since.map(({ insertToFrame }) => insertToFrame)),
      // Every process reads all changes, so the lag is that of the slowest.
      feed: feeds.toSorted((a, b) => b.lagBytes - a.lagBytes || b.lagMs - a.lagMs)[0] ?? null,
      topics: Array.from(this.#changedTopics, (key) => this.#topic(key)),
      connectionsChanged: this.#changedConnections,
    }
    for (const part of parts) part.ticks = []
    this.#changedTopics.clear()
    this.#changedConnections = []
    return tick
  }

  /** The merged rows since the last call; `null`: none. */
  takeLog(): AdminLog | null {
    if (this.#rows.length === 0 && this.#skipped === 0) return null
    const log = { rows: this.#rows, skipped: this.#skipped }
    this.#rows = []
    this.#skipped = 0
    return log
  }

  #topic(key: string): AdminTopic {
    const isPrivate = key.startsWith('private:')
    const members = sum([...this.#parts.values()], ({ topics }) => topics.get(key)?.members ?? 0)
    return { topic: key.slice(key.indexOf(':') + 1), private: isPrivate, members }
  }

  #partOf(process: string): Part {
    let part = this.#parts.get(process)
    if (part === undefined) {
      part = { topics: new Map(), connections: new Map(), moreTopics: 0, moreConnections: 0, ticks: [], lastTick: null }
      this.#parts.set(process, part)
    }
    return part
  }
}

function keyOf({ topic, private: isPrivate }: AdminTopic): string {
  return `${isPrivate ? 'private' : 'public'}:${topic}`
}

function sum<Each>(all: readonly Each[], read: (each: Each) => number): number {
  return all.reduce((total, each) => total + read(each), 0)
}
