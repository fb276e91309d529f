import { formatTopicKey, subTopicOf, type AdminConnection, type AdminState, type AdminTopic } from '@tidewire/protocol'
import type { Connection } from '../connection/connection.ts'
import type { Connections } from '../connection/connections.ts'
import type { Topics } from '../topic/topics.ts'
import type { ConnectionEvents } from './traffic.ts'

/** The most connections that are listed one by one; more are counted. So for topics. */
const MAX_CONNECTIONS = 300
const MAX_TOPICS = 500
/** Rows that are sent a tick. */
const CONNECTIONS_A_TICK = 50
const TOPICS_A_TICK = 100

type Closed = NonNullable<AdminConnection['closed']>

/** The connections and topics that inspectors list, and their changes since the last tick. */
export class LiveDirectory implements ConnectionEvents {
  readonly #connections: Connections
  readonly #topics: Topics
  readonly #closing: (connection: string, code: number) => Closed
  /** By id, with the row that was sent last. */
  readonly #listed = new Map<string, { readonly connection: Connection; sent: AdminConnection | null; closed: Closed | null }>()
  readonly #changed = new Set<string>()
  readonly #topicsChanged = new Map<string, { readonly subTopic: string; readonly private: boolean }>()
  readonly #topicsListed = new Set<string>()
  /** Counters change all the time, so connections are compared in turns, some a tick. */
  #round: Iterator<string> | null = null

  constructor(connections: Connections, topics: Topics, closing: (connection: string, code: number) => Closed) {
    this.#connections = connections
    this.#topics = topics
    this.#closing = closing
  }

  /** Everything that is listed, for an inspector that has just joined. */
  state(): AdminState {
    for (const connection of this.#connections.all()) {
      if (this.#listed.size >= MAX_CONNECTIONS) break
      this.#list(connection)
    }
    const topics: AdminTopic[] = []
    for (const { key, size } of this.#topics.all()) {
      if (topics.length >= MAX_TOPICS) break
      this.#topicsListed.add(formatTopicKey(key))
      topics.push({ topic: key.name, private: key.private, members: size })
    }
    const connections = [...this.#listed.values()].filter(({ closed }) => closed === null).map(({ connection }) => shown(connection))
    return {
      topics,
      connections,
      moreTopics: this.#topics.size - topics.length,
      moreConnections: Math.max(0, this.#connections.size - connections.length),
    }
  }

  /** The rows that changed since the last call. */
  takeChanges(): { readonly topics: readonly AdminTopic[]; readonly connections: readonly AdminConnection[] } {
    return { topics: this.#takeTopics(), connections: this.#takeConnections() }
  }

  connected(id: string): void {
    if (this.#listed.size >= MAX_CONNECTIONS) return
    // The newest is the last one.
    const connection = this.#connections.newest
    if (connection?.id !== id) return
    this.#list(connection)
    this.#changed.add(id)
  }

  disconnected(id: string, code: number): void {
    const listed = this.#listed.get(id)
    if (listed === undefined) return
    listed.closed = this.#closing(id, code)
    this.#changed.add(id)
  }

  channelsChanged(id: string): void {
    if (this.#listed.has(id)) this.#changed.add(id)
  }

  topicChanged(topic: string, isPrivate: boolean): void {
    const subTopic = subTopicOf(topic) ?? topic
    const key = formatTopicKey({ name: subTopic, private: isPrivate })
    if (!this.#topicsListed.has(key)) {
      if (this.#topicsListed.size >= MAX_TOPICS) return
      this.#topicsListed.add(key)
    }
    this.#topicsChanged.set(key, { subTopic, private: isPrivate })
  }

  #list(connection: Connection): void {
    if (!this.#listed.has(connection.id)) this.#listed.set(connection.id, { connection, sent: null, closed: null })
  }

  #takeTopics(): AdminTopic[] {
    const topics: AdminTopic[] = []
    for (const [key, { subTopic, private: isPrivate }] of this.#topicsChanged) {
      if (topics.length >= TOPICS_A_TICK) break
      this.#topicsChanged.delete(key)
      const members = this.#topics.find({ name: subTopic, private: isPrivate })?.size ?? 0
      if (members === 0) this.#topicsListed.delete(key)
      topics.push({ topic: subTopic, private: isPrivate, members })
    }
    return topics
  }

  #takeConnections(): AdminConnection[] {
    const connections: AdminConnection[] = []
    for (const id of this.#changed) {
      if (connections.length >= CONNECTIONS_A_TICK) return connections
      this.#changed.delete(id)
      this.#send(id, connections)
    }
    for (let looked = 0; looked < CONNECTIONS_A_TICK && connections.length < CONNECTIONS_A_TICK; looked++) {
      const next = (this.#round ??= this.#listed.keys()).next()
      if (next.done === true) {
        this.#round = null
        break
      }
      const { connection, sent } = this.#listed.get(next.value)!
      if (sent === null || hasMoved(sent, rowOf(connection))) this.#send(next.value, connections)
    }
    return connections
  }

  #send(id: string, connections: AdminConnection[]): void {
    const listed = this.#listed.get(id)
    if (listed === undefined) return
    listed.sent = shown(listed.connection)
    if (listed.closed === null) connections.push(listed.sent)
    else {
      connections.push({ ...listed.sent, closed: listed.closed })
      this.#listed.delete(id)
    }
  }
}

function hasMoved(sent: AdminConnection, now: AdminConnection): boolean {
  return (
    sent.received !== now.received ||
    sent.sent !== now.sent ||
    sent.queueBytes !== now.queueBytes ||
    sent.channels.length !== now.channels.length
  )
}

const MAX_CLAIMS_BYTES = 2_048

/** A connection, as an inspector lists it; of large claims, only those that identify the user. */
function shown(connection: Connection): AdminConnection {
  const whole = rowOf(connection)
  if (JSON.stringify(whole.claims).length <= MAX_CLAIMS_BYTES) return whole
  const few = ['role', 'sub', 'iss', 'exp'].flatMap((name) => {
    const value = whole.claims[name]
    return typeof value === 'number' || (typeof value === 'string' && value.length <= 200) ? [[name, value] as const] : []
  })
  return { ...whole, claims: { ...Object.fromEntries(few), '…': 'more claims than are shown' } }
}

/** The same with all claims. */
function rowOf(connection: Connection): AdminConnection {
  return {
    id: connection.id,
    role: textOf(connection.claims['role']),
    claims: connection.claims,
    address: connection.address,
    userAgent: connection.userAgent,
    vsn: connection.version,
    connectedAt: connection.connectedAt,
    lastHeartbeatAt: connection.lastHeartbeatAt,
    channels: Array.from(connection.channels, ({ subTopic, request, identity }) => ({
      topic: subTopic,
      private: request.private,
      role: identity?.role ?? null,
      sub: textOf(identity?.claims['sub']),
    })),
    received: connection.framesReceived,
    sent: connection.output.messages,
    queueBytes: connection.backlogBytes,
  }
}

function textOf(claim: unknown): string | null {
  return typeof claim === 'string' ? claim : null
}
