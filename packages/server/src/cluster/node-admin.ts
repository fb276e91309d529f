import { isJsonObject, type AdminNode, type DisconnectTarget, type JsonObject } from '@tidewire/protocol'
import type { Relay, RelayPeer } from '../ports/relay.ts'
import type { Runtime, TimerHandle } from '../ports/runtime.ts'

/** The figures of this node. */
export type OwnFigures = Pick<AdminNode, 'connections' | 'topics' | 'lagBytes' | 'lagMs' | 'trouble'>

export interface NodeAdminOptions {
  readonly runtime: Pick<Runtime, 'setTimer' | 'now'>
  /** `null`: this is the only node. */
  readonly relay: Pick<Relay, 'self' | 'peers' | 'send'> | null
  readonly version: string
  readonly startedAt: number
  readonly figures: () => OwnFigures
  /** Closes sockets of this node. Returns how many. */
  readonly disconnect: (target: DisconnectTarget) => number
  /** Whether another node is a process that serves the port of this one. Ids of connections are unique among these. */
  readonly isSibling?: (peer: RelayPeer) => boolean
  /** Takes a sibling's message for inspectors. Returns whether it was understood. */
  readonly onSibling?: (message: Message, from: string) => boolean
  /** Answers a sibling's question; `undefined`: not understood. */
  readonly answerSibling?: (question: Message) => Promise<unknown> | undefined
}

type Message = JsonObject & { readonly id: number }

/** The sum of all nodes, with the names of those that did not answer in time. */
export interface Disconnected {
  readonly disconnected: number
  readonly silent: readonly string[]
}

const ANSWER_WITHIN_MS = 2_000
const ALONE = { instance: '', name: '' }

type Question =
  | { readonly type: 'figures' }
  | { readonly type: 'disconnect'; readonly target: DisconnectTarget }
  | (JsonObject & { readonly type: string })

interface Pending {
  readonly answers: Map<string, unknown>
  readonly asked: ReadonlySet<string>
  readonly done: () => void
  readonly late: TimerHandle
}

/** Asks all nodes at once for an administrator: for their figures, and to end the connections of a user. */
export class NodeAdmin {
  readonly #options: NodeAdminOptions
  readonly #pending = new Map<number, Pending>()
  #questions = 0

  constructor(options: NodeAdminOptions) {
    this.#options = options
  }

  /** The figures of every node: this one first, then the others by name. */
  async nodes(): Promise<readonly AdminNode[]> {
    const { relay, version, startedAt, figures } = this.#options
    const { instance, name } = relay?.self ?? ALONE
    const peers = relay?.peers ?? []
    const answers = await this.#ask({ type: 'figures' })
    const own: AdminNode = { instance, name, version, startedAt, isAsked: true, answers: true, ...figures() }
    const others = peers.map((peer): AdminNode => {
      const answer = figuresOf(answers.get(peer.instance))
      const given = { answers: answer !== null, ...(answer ?? UNKNOWN) }
      return { instance: peer.instance, name: peer.name, version: peer.version, startedAt: peer.startedAt, isAsked: false, ...given }
    })
    return [own, ...others.toSorted((a, b) => (a.name < b.name ? -1 : 1))]
  }

  /** Ends connections wherever they are. A connection without a node is one of this node. */
  async disconnect(target: DisconnectTarget): Promise<Disconnected> {
    const { relay } = this.#options
    const own = this.#isOwn(target) ? this.#options.disconnect(target) : 0
    if (relay === null) return { disconnected: own, silent: [] }
    const peers =
      'connection' in target && target.node === undefined
        ? this.siblings()
        : relay.peers.filter(({ name, instance }) => 'sub' in target || target.node === name || target.node === instance)
    if (own > 0 && 'connection' in target) return { disconnected: own, silent: [] }
    const answers = await this.#ask({ type: 'disconnect', target }, new Set(peers.map(({ instance }) => instance)))
    const counts = peers.map(({ instance }) => answers.get(instance))
    return {
      disconnected: counts.reduce<number>((sum, count) => sum + (typeof count === 'number' ? count : 0), own),
      silent: peers.filter(({ instance }) => !answers.has(instance)).map(({ name }) => name),
    }
  }

  /** The other processes that serve the port of this one. */
  siblings(): readonly RelayPeer[] {
    const { relay, isSibling } = this.#options
    return isSibling === undefined ? [] : (relay?.peers.filter((peer) => isSibling(peer)) ?? [])
  }

  /** Sends to one sibling, or to all. */
  sendToSiblings(message: Message, to?: string): void {
    const those = to === undefined ? this.siblings().map(({ instance }) => instance) : [to]
    for (const instance of those) this.#options.relay?.send('admin', encode(message), instance)
  }

  /** Asks all siblings. Returns the answers that came in time. */
  async askSiblings(question: JsonObject & { readonly type: string }): Promise<readonly unknown[]> {
    return [...(await this.#ask(question, new Set(this.siblings().map(({ instance }) => instance)))).values()]
  }

  /** Takes a message of another node. Returns a sentence where it cannot be read, else `null`. */
  onNodeMessage(bytes: Uint8Array, from: string): string | null {
    const message = parse(bytes)
    if (message === null) return `An admin message of node ${from} cannot be read`
    const { type, id } = message
    if (type === 'answer') {
      this.#answered(id, from, message['answer'])
      return null
    }
    if (type === 'figures') this.#answer(id, from, this.#options.figures())
    else if (type === 'disconnect') {
      const target = parseDisconnectTarget(message['target'])
      if (target === null) return `An admin message of node ${from} names nothing to disconnect`
      this.#answer(id, from, this.#isOwn(target) ? this.#options.disconnect(target) : 0)
    } else if (!this.#takeFromSibling(message, from)) return `An admin message of node ${from} has an unknown type`
    return null
  }

  #takeFromSibling(message: Message, from: string): boolean {
    if (!this.siblings().some(({ instance }) => instance === from)) return false
    if (this.#options.onSibling?.(message, from) === true) return true
    const answer = this.#options.answerSibling?.(message)
    void answer?.then((answered) => this.#answer(message.id, from, answered))
    return answer !== undefined
  }

  #isOwn(target: DisconnectTarget): boolean {
    if ('sub' in target || target.node === undefined) return true
    const { instance, name } = this.#options.relay?.self ?? ALONE
    return target.node === name || target.node === instance
  }

  #ask(question: Question, only?: ReadonlySet<string>): Promise<ReadonlyMap<string, unknown>> {
    const { relay, runtime } = this.#options
    const asked = only ?? new Set(relay?.peers.map(({ instance }) => instance))
    const answers = new Map<string, unknown>()
    if (relay === null || asked.size === 0) return Promise.resolve(answers)
    const id = ++this.#questions
    return new Promise((resolve) => {
      const done = (): void => {
        this.#pending.get(id)?.late.cancel()
        this.#pending.delete(id)
        resolve(answers)
      }
      this.#pending.set(id, { answers, asked, done, late: runtime.setTimer(done, ANSWER_WITHIN_MS) })
      const message = encode({ ...question, id })
      if (only === undefined) relay.send('admin', message)
      else for (const instance of only) relay.send('admin', message, instance)
    })
  }

  #answered(id: number, from: string, answer: unknown): void {
    const pending = this.#pending.get(id)
    if (pending === undefined || !pending.asked.has(from)) return
    pending.answers.set(from, answer)
    if (pending.answers.size === pending.asked.size) pending.done()
  }

  #answer(id: number, to: string, answer: unknown): void {
    this.#options.relay?.send('admin', encode({ type: 'answer', id, answer }), to)
  }
}

/** Hostile input: from an inspector or another node. */
export function parseDisconnectTarget(value: unknown): DisconnectTarget | null {
  if (!isJsonObject(value)) return null
  const { sub, connection, node } = value
  if (typeof sub === 'string' && sub !== '') return connection === undefined ? { sub } : null
  if (typeof connection !== 'string' || connection === '') return null
  if (node === undefined) return { connection }
  return typeof node === 'string' ? { connection, node } : null
}

const UNKNOWN: OwnFigures = { connections: 0, topics: 0, lagBytes: null, lagMs: null, trouble: null }

/** Only this is taken from another node's answer: its name and instance are known from its beats. */
function figuresOf(value: unknown): OwnFigures | null {
  if (!isJsonObject(value)) return null
  const { connections, topics, lagBytes, lagMs, trouble } = value
  const isNumberOrNull = (each: unknown): each is number | null => each === null || typeof each === 'number'
  if (typeof connections !== 'number' || typeof topics !== 'number' || !isNumberOrNull(lagBytes) || !isNumberOrNull(lagMs)) return null
  return trouble === null || typeof trouble === 'string' ? { connections, topics, lagBytes, lagMs, trouble } : null
}

function encode(message: object): Uint8Array {
  return Buffer.from(JSON.stringify(message))
}

function parse(bytes: Uint8Array): Message | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString())
    if (!isJsonObject(value)) return null
    const { id } = value
    return typeof id === 'number' ? { ...value, id } : null
  } catch {
    return null
  }
}
