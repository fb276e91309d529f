import type { TimerPort } from '@tidewire/protocol'
import type { Decision, Observer } from '@tidewire/server'
import { visible } from '../output.ts'

export interface ActivityLogOptions extends TimerPort {
  write(line: string): void
}

/** Lines of single events in a window; more events are counted. */
const LINES_PER_WINDOW = 20
const TOPIC_LINES = 5
/** Topics that are counted one by one in a window. */
const MAX_TOPICS = 100
const WINDOW_MS = 1_000
/** After silence the first broadcast is shown soon, but gathered with those that come with it. */
const FIRST_WINDOW_MS = 100

interface Traffic {
  messages: number
  deliveries: number
  bytes: number
}

/** Prints what a server does: a line for rare events, counts once a second for frequent ones. */
export class ActivityLog implements Observer {
  readonly #options: ActivityLogOptions
  #connections = 0
  #isWindowOpen = false
  #lines = 0
  #unshown = new Map<string, number>()
  #traffic = new Map<string, Traffic>()
  #elsewhere = { topics: new Set<string>(), ...noTraffic() }

  constructor(options: ActivityLogOptions) {
    this.#options = options
  }

  connected(connection: string): void {
    this.#connections++
    this.#event('connect', `#${connection} (${this.#connections} open)`)
  }

  disconnected(connection: string, code: number): void {
    this.#connections--
    this.#event('disconnect', `#${connection} with ${code} (${this.#connections} open)`)
  }

  joined(connection: string, topic: string): void {
    this.#event('join', `#${connection} ${nameOf(topic)}`)
  }

  left(connection: string, topic: string): void {
    this.#event('leave', `#${connection} ${nameOf(topic)}`)
  }

  broadcast(topic: string, receivers: number, bytes: number): void {
    const traffic = this.#trafficOf(topic)
    traffic.messages++
    traffic.deliveries += receivers
    traffic.bytes += bytes
    this.#openWindow(FIRST_WINDOW_MS)
  }

  received(): void {}

  decision({ kind, code, detail, connection, topic }: Decision): void {
    const origin = [connection === undefined ? '' : `#${connection}`, topic === undefined ? '' : nameOf(topic)]
    const text = [...origin, visible(detail), visible(`(${kind}: ${code})`)].filter((part) => part !== '').join(' ')
    this.#event(kind.endsWith('-closed') ? 'closed' : 'refused', text)
  }

  #event(what: string, text: string): void {
    if (this.#lines++ < LINES_PER_WINDOW) this.#write(what, text)
    else this.#unshown.set(what, (this.#unshown.get(what) ?? 0) + 1)
    this.#openWindow(WINDOW_MS)
  }

  #trafficOf(topic: string): Traffic {
    const known = this.#traffic.get(topic)
    if (known !== undefined) return known
    if (this.#traffic.size >= MAX_TOPICS) {
      if (this.#elsewhere.topics.size < MAX_TOPICS) this.#elsewhere.topics.add(topic)
      return this.#elsewhere
    }
    const traffic = noTraffic()
    this.#traffic.set(topic, traffic)
    return traffic
  }

  #openWindow(lengthMs: number): void {
    if (this.#isWindowOpen) return
    this.#isWindowOpen = true
    this.#options.setTimer(() => this.#closeWindow(), lengthMs)
  }

  #closeWindow(): void {
    this.#isWindowOpen = false
    const wasBusy = this.#traffic.size > 0 || this.#unshown.size > 0
    this.#showTraffic()
    if (this.#unshown.size > 0) this.#write('…', `and ${[...this.#unshown].map(([what, count]) => `${count} × ${what}`).join(', ')}`)
    this.#lines = 0
    this.#unshown = new Map()
    this.#traffic = new Map()
    this.#elsewhere = { topics: new Set(), ...noTraffic() }
    if (wasBusy) this.#openWindow(WINDOW_MS)
  }

  #showTraffic(): void {
    const topics = [...this.#traffic].toSorted(([, a], [, b]) => b.messages - a.messages)
    for (const [topic, traffic] of topics.slice(0, TOPIC_LINES)) this.#write('sent', `${nameOf(topic)} ${countsOf(traffic)}`)
    const rest = topics.slice(TOPIC_LINES)
    const others = rest.length + this.#elsewhere.topics.size
    if (others === 0) return
    const sum = [...rest.map(([, traffic]) => traffic), this.#elsewhere].reduce<Traffic>(add, noTraffic())
    this.#write('sent', `${others >= 2 * MAX_TOPICS - TOPIC_LINES ? 'many' : others} more topics ${countsOf(sum)}`)
  }

  #write(what: string, text: string): void {
    this.#options.write(`${what.padEnd(10)} ${text}`)
  }
}

function noTraffic(): Traffic {
  return { messages: 0, deliveries: 0, bytes: 0 }
}

function add(a: Traffic, b: Traffic): Traffic {
  return { messages: a.messages + b.messages, deliveries: a.deliveries + b.deliveries, bytes: a.bytes + b.bytes }
}

function countsOf({ messages, deliveries, bytes }: Traffic): string {
  return `${messages} ${messages === 1 ? 'message' : 'messages'}, ${deliveries} delivered, ${sizeOf(bytes)}`
}

function sizeOf(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`
  return bytes < 1_000_000 ? `${(bytes / 1_000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`
}

/** Clients choose the names of topics, so they are made safe to show. */
function nameOf(topic: string): string {
  return visible(topic.replace(/^realtime:/, ''), 60)
}
