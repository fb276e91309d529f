import type { Relay, RelayInterest, RelayMessage, RelayTopic } from '@tidewire/server'
import { RelayRecorder, textMessage, type BrokerEnd } from '@tidewire/testkit'
import { World } from './world.ts'

export const TOPICS: readonly RelayTopic[] = ['a', 'b', 'c'].map((name) => ({ name, private: false }))

/** From the answer to an interest until a beat of every node came or is missed. */
const FOLLOWS_MS = 1_200
/** A node that was connected for less may hear for the first time of one that has sent before. */
const KNOWS_ALL_MS = 3_100

export type Step =
  | { readonly kind: 'publish'; readonly node: number; readonly topic: number; readonly times: number; readonly size: number }
  | { readonly kind: 'toggle'; readonly node: number; readonly topic: number }
  | { readonly kind: 'pass'; readonly ms: number }
  /** What the network does with each of the next messages to a node. */
  | { readonly kind: 'disturb'; readonly node: number; readonly fates: readonly Fate[] }
  | { readonly kind: 'cut' | 'heal' | 'restart'; readonly node: number }

export type Fate = 'lost' | 'double' | 'late' | 'fine'

type Event =
  | { readonly kind: 'message'; readonly topic: string; readonly id: number; readonly from: string }
  | { readonly kind: 'gap'; readonly topics: readonly string[] | 'all' }
  /** No member is left to notify of a gap. */
  | { readonly kind: 'left'; readonly topic: string }

class Log extends RelayRecorder {
  readonly events: Event[] = []

  override onMessage(topic: RelayTopic, messages: readonly RelayMessage[], from: string): void {
    for (const message of messages) {
      if (message.kind === 'text')
        this.events.push({ kind: 'message', topic: topic.name, id: Number.parseInt(Buffer.from(message.payload).toString()), from })
    }
  }

  override onGap(topics: 'all' | readonly RelayTopic[]): void {
    this.events.push({ kind: 'gap', topics: topics === 'all' ? 'all' : topics.map(({ name }) => name) })
  }
}

function reports(event: Event, topic: string): boolean {
  return event.kind === 'gap' ? event.topics === 'all' || event.topics.includes(topic) : event.kind === 'left' && event.topic === topic
}

/** A process of a node. */
interface Process {
  readonly relay: Relay
  readonly end: BrokerEnd
  readonly log: Log
  readonly interests: Map<number, { readonly interest: RelayInterest; readyAt: number }>
  upAt: number
  isCut: boolean
  /** How many reports of a gap something accounts for: of a topic, and of all. */
  readonly mayReport: Map<string, number>
}

/** A message that a process follows: it must come, or a gap after this place of its log. */
interface Expected {
  readonly to: Process
  readonly topic: string
  readonly id: number
  readonly from: string
  readonly after: number
  /** Whether the sender was heard before: what comes from it is in order then. */
  readonly isKnown: boolean
}

/** Nodes on a broker that loses, doubles and delays single messages, with a record of the gaps that each of them must report, and may report. */
export class Walk {
  readonly world: World
  readonly #nodes: Process[] = []
  readonly #expected: Expected[] = []
  readonly #fates = new Map<BrokerEnd, Fate[]>()
  readonly #held: (() => void)[] = []
  #id = 0
  #isLarge = false
  /** For a test that it tests something. */
  lost = 0

  /** `delayMs`: how long the broker takes for each message. */
  constructor(nodes: number, delayMs: () => number) {
    this.world = new World(delayMs)
    this.world.network.carry = (subject, to, deliver) => this.#carry(subject, to, deliver)
    for (let at = 0; at < nodes; at++) this.#nodes.push(this.#begin(at))
  }

  async do(step: Step): Promise<void> {
    if (step.kind === 'pass') return this.#pass(step.ms)
    const process = this.#nodes[step.node]!
    switch (step.kind) {
      case 'publish':
        for (let time = 0; time < step.times; time++) this.#publish(process, TOPICS[step.topic]!, step.size)
        return
      case 'toggle':
        return this.#toggle(process, step.topic)
      case 'disturb':
        this.#fates.set(process.end, [...step.fates])
        return
      case 'cut':
        if (process.isCut) return
        process.isCut = true
        process.end.cut()
        // With the link the others may miss something on any topic; this one when it is back, and by the beats that it did not hear.
        for (const each of this.#nodes) this.#account(each, 'all', each === process ? this.#nodes.length : 1)
        return
      case 'heal':
        process.isCut = false
        process.end.heal()
        return
      case 'restart':
        await this.quiet()
        await process.relay.close()
        await this.#pass(100)
        this.#nodes[step.node] = this.#begin(step.node)
    }
  }

  /** Until all links are up, everything has come, and every node has beaten. */
  async quiet(): Promise<void> {
    this.#fates.clear()
    for (const each of this.#nodes) {
      each.isCut = false
      each.end.heal()
    }
    await this.world.until(() => this.#nodes.every(({ relay }) => relay.link.state === 'up'), 10_000)
    for (const deliver of this.#held.splice(0)) deliver()
    await this.#pass(2_200)
  }

  /** Gaps that should have been reported and were not, and what came twice or out of order. */
  faults(): string[] {
    const faults: string[] = []
    for (const { to, topic, id, from, after } of this.#expected) {
      const { events } = to.log
      if (events.some((each) => each.kind === 'message' && each.id === id && each.from === from)) continue
      this.lost++
      const isReported = events.slice(after).some((each) => reports(each, topic))
      if (!isReported) faults.push(`message ${id} on ${topic} was lost for ${to.relay.self.name}, which reported no gap`)
    }
    for (const process of this.#nodes) faults.push(...this.#orderFaults(process))
    return faults
  }

  /** Gaps that nothing accounts for. What is under way on a link that goes down is not in the book: there must be no delay. */
  readonly needless: string[] = []

  #begin(at: number): Process {
    const relay = this.world.relay(`node ${at} ${this.#id++}`)
    const process: Process = {
      relay,
      end: this.world.ends.get(relay)!,
      log: new Log(),
      interests: new Map(),
      upAt: Infinity,
      isCut: false,
      mayReport: new Map(),
    }
    const { log } = process
    log.onLink = (link) => {
      process.upAt = link.state === 'up' ? this.world.runtime.uptime() : Infinity
      if (link.state === 'up') this.#account(process, 'all', 1)
      else for (const each of process.interests.values()) each.readyAt = Infinity
      if (link.state === 'up') for (const each of process.interests.values()) each.readyAt = process.upAt
    }
    const onGap = log.onGap.bind(log)
    log.onGap = (topics) => {
      onGap(topics)
      for (const key of topics === 'all' ? ['all'] : topics.map(({ name }) => name)) {
        const left = (process.mayReport.get(key) ?? 0) - 1
        process.mayReport.set(key, left)
        if (left < 0) this.needless.push(`${relay.self.name} reported a gap of ${key} where nothing was lost`)
      }
    }
    relay.start(log)
    return process
  }

  #account(process: Process, key: string, count: number): void {
    process.mayReport.set(key, (process.mayReport.get(key) ?? 0) + count)
  }

  #publish(from: Process, topic: RelayTopic, size: number): void {
    const id = this.#id++
    const now = this.world.runtime.uptime()
    const at = TOPICS.indexOf(topic)
    for (const to of this.#nodes) {
      const held = to.interests.get(at)
      if (to === from || held === undefined || now - held.readyAt < FOLLOWS_MS || now - to.upAt < KNOWS_ALL_MS) continue
      this.#expected.push({
        to,
        topic: topic.name,
        id,
        from: from.relay.self.instance,
        after: to.log.events.length,
        isKnown: to.relay.peers.some(({ instance }) => instance === from.relay.self.instance),
      })
    }
    this.#isLarge = size > this.world.maxPayloadBytes
    const sent = from.relay.publish(topic, [textMessage(`${id}${' '.repeat(size)}`)])
    this.#isLarge = false
    for (const to of this.#nodes) if (to !== from && (!sent || to.end.session === null)) this.#account(to, topic.name, 1)
  }

  #toggle(process: Process, topic: number): void {
    const present = process.interests.get(topic)
    if (present !== undefined) {
      process.interests.delete(topic)
      process.log.events.push({ kind: 'left', topic: TOPICS[topic]!.name })
      return present.interest.release()
    }
    const interest = process.relay.interest(TOPICS[topic]!)
    const held = { interest, readyAt: interest.ready === null ? this.world.runtime.uptime() : Infinity }
    process.interests.set(topic, held)
    void interest.ready?.then((ready) => {
      if (ready) held.readyAt = this.world.runtime.uptime()
    })
  }

  #carry(subject: string, to: BrokerEnd, deliver: () => void): void {
    const fate = this.#fates.get(to)?.shift() ?? 'fine'
    const process = this.#nodes.find(({ end }) => end === to)
    const [, , kind, name] = subject.split('.')
    const isTopic = kind === 't'
    // A part that comes twice spoils its message.
    if (process !== undefined && (fate === 'lost' || fate === 'late' || (fate === 'double' && this.#isLarge))) {
      const key = isTopic ? Buffer.from(name!, 'base64url').toString().replace('public:', '') : 'all'
      this.#account(process, key, 1)
    }
    if (fate === 'lost') return
    // The next message comes before it. Beats are not late.
    if (fate === 'late' && isTopic) return void this.#held.push(deliver)
    if (fate === 'late') return
    deliver()
    if (fate === 'double') deliver()
    for (const late of this.#held.splice(0)) late()
  }

  /** What a process follows comes once, and in the order of its sender. */
  #orderFaults(process: Process): string[] {
    const { log, relay } = process
    const followed = new Set(this.#expected.flatMap(({ to, isKnown, id }) => (to === process && isKnown ? [id] : [])))
    const last = new Map<string, number>()
    const faults: string[] = []
    for (const event of log.events) {
      if (event.kind !== 'message' || !followed.has(event.id)) continue
      const key = `${event.from} ${event.topic}`
      if (event.id <= (last.get(key) ?? -1)) faults.push(`message ${event.id} came to ${relay.self.name} after ${last.get(key)}`)
      last.set(key, event.id)
    }
    return faults
  }

  async #pass(ms: number): Promise<void> {
    await this.world.pass(ms)
  }
}
