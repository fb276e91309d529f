import type { Runtime, Decision, Observer, ObservedChange, SentMessage } from '../ports.ts'
import { Latencies } from './latency.ts'
import type { LogBuffer } from './log-buffer.ts'
import type { LogEvent } from './log-row.ts'

/** Is notified of connections and channels that begin and end. */
export interface ConnectionEvents {
  connected(connection: string): void
  disconnected(connection: string, code: number): void
  topicChanged(topic: string, isPrivate: boolean): void
  channelsChanged(connection: string): void
}

/**
 * Collects for inspectors, while there is one: exact counts, and rows of the log as far as their buffers take them. It is attached as an observer, so that a server without inspectors does nothing for it.
 */
export class Traffic implements Observer {
  readonly fanOut: Latencies = new Latencies()
  readonly insertToFrame: Latencies = new Latencies()
  /** The log of each inspector. */
  logs: readonly LogBuffer[] = []
  readonly #connectionEvents: ConnectionEvents
  readonly #runtime: Pick<Runtime, 'now'>
  #received = 0
  #delivered = 0
  #rows = 0
  channels = 0

  constructor(connectionEvents: ConnectionEvents, runtime: Pick<Runtime, 'now'>) {
    this.#connectionEvents = connectionEvents
    this.#runtime = runtime
  }

  decision(decision: Decision): void {
    this.#log({ kind: 'decision', decision })
  }

  connected(connection: string): void {
    this.#connectionEvents.connected(connection)
    this.#log({ kind: 'connect', connection })
  }

  disconnected(connection: string, code: number): void {
    this.#connectionEvents.disconnected(connection, code)
    this.#log({ kind: 'disconnect', connection, code })
  }

  joined(connection: string, topic: string, isPrivate: boolean): void {
    this.#membership('join', connection, topic, isPrivate)
  }

  left(connection: string, topic: string, isPrivate: boolean): void {
    this.#membership('leave', connection, topic, isPrivate)
  }

  broadcast(topic: string, receivers: number, bytes: number, message: SentMessage): void {
    this.#delivered += receivers
    if (this.#takesTraffic()) this.#log({ kind: 'message', topic, receivers, bytes, message })
  }

  changed(change: ObservedChange): void {
    this.#delivered += change.receivers
    if (change.receivers > 0) this.insertToFrame.add(change.ms)
    if (this.#takesTraffic()) this.#log({ kind: 'change', change })
  }

  received(): void {
    this.#received++
  }

  fannedOut(ms: number): void {
    this.fanOut.add(ms)
  }

  /** The numbers of messages since the last call. */
  takeCounts(): { readonly received: number; readonly delivered: number } {
    const counts = { received: this.#received, delivered: this.#delivered }
    this.#received = 0
    this.#delivered = 0
    return counts
  }

  #membership(kind: 'join' | 'leave', connection: string, topic: string, isPrivate: boolean): void {
    this.channels += kind === 'join' ? 1 : -1
    this.#connectionEvents.topicChanged(topic, isPrivate)
    this.#connectionEvents.channelsChanged(connection)
    this.#log({ kind, connection, topic, private: isPrivate })
  }

  /** Whether some inspector would take a row; one that none takes is counted. */
  #takesTraffic(): boolean {
    for (const log of this.logs) if (log.takesTraffic) return true
    for (const log of this.logs) log.skip()
    return false
  }

  #log(logEvent: LogEvent): void {
    const at = this.#runtime.now()
    let id: number | null = null
    for (const log of this.logs) log.offer(logEvent, at, () => (id ??= ++this.#rows))
  }
}
