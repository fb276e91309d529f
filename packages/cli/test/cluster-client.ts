import { decodeServerFrame } from '@tidewire/protocol'
import { compareLogPositions, parsePosition, type Position } from '@tidewire/postgres'
import { sendHeartbeats } from '@tidewire/testkit'
import { WebSocket } from 'ws'
import type { NodeLife, PlayedNode } from './played-node.ts'
import { STORED_TOPIC, StoredListener } from './stored-listener.ts'

export interface Received {
  readonly from: number
  readonly n: number
  readonly at: number
}

/** Where it connects. */
export interface Entrance {
  readonly port: number
  readonly token: string
  /** The node that the connection from this local port has reached. */
  readonly nodeOf?: (localPort: number) => PlayedNode | null
}

/** A time without its socket. */
export interface Absence {
  readonly lostAt: number
  /** References of the presence that it had. */
  readonly refs: readonly string[]
  /** When it was joined again, and when row changes came again; `null` until then. */
  joinedAt: number | null
  liveAt: number | null
}

type Frame = [joinRef: unknown, ref: string | null, topic: string, event: string, payload: Record<string, unknown>]

interface PresenceMetas {
  readonly [key: string]: { readonly metas: readonly { readonly phx_ref: string }[] }
}

const RETRY_MS = 100
/** A node that is frozen takes connections and answers nothing. */
const JOIN_WITHIN_MS = 5_000

/** A raw socket on broadcasts, presence and row changes of a cluster. It comes back by itself and writes down all that it gets. */
export class ClusterClient {
  readonly id: number
  /** Which topic it is on. */
  readonly room: number
  readonly received: Received[] = []
  /** Numbers of its own broadcasts that the server acknowledged. */
  readonly acknowledged: number[] = []
  /** When messages may have been missed: it joined, or was notified of a gap. */
  readonly breaks: number[] = []
  readonly rows: number[] = []
  readonly faults: string[] = []
  /** Keys that must stay in view from now on, once it has a view. */
  expectedKeys: readonly string[] = []
  readonly flickers: string[] = []
  /** When it was notified that messages between nodes were lost. */
  readonly lossesAt: number[] = []
  readonly absences: Absence[] = []
  /** Messages from SQL. */
  readonly stored: StoredListener
  joined = false
  /** Where it is connected, or was last. */
  node: PlayedNode | null = null
  /** From here on it gets every row. */
  live = false
  joins = 0
  gaps = 0
  readonly #presence = new Map<string, string>()
  readonly #url: string
  readonly #nodeOf: (localPort: number) => PlayedNode | null
  #sent = 0
  #position: { readonly text: string; readonly parsed: Position } | null = null
  #nodeLife: NodeLife | null = null
  #socket: WebSocket | null = null
  #closed = false

  constructor(id: number, room: number, { port, token, nodeOf = () => null }: Entrance) {
    this.id = id
    this.room = room
    this.stored = new StoredListener(id, (...frame) => this.#socket?.send(JSON.stringify(frame)))
    this.#url = `ws://127.0.0.1:${port}/socket/websocket?vsn=2.0.0&apikey=${token}`
    this.#nodeOf = nodeOf
    this.#connect()
  }

  /** Keys in view, a key once for every meta. */
  get present(): string[] {
    return [...this.#presence.values()].sort()
  }

  /** Whether one of these references is in its view. */
  seesAny(refs: readonly string[]): boolean {
    return refs.some((ref) => this.#presence.has(ref))
  }

  broadcast(): void {
    if (!this.joined) return
    const n = ++this.#sent
    this.#send(`b${n}`, 'broadcast', { type: 'broadcast', event: 'say', payload: { from: this.id, n } })
  }

  close(): void {
    this.#closed = true
    this.#socket?.terminate()
  }

  #send(ref: string, event: string, payload: object): void {
    this.#socket?.send(JSON.stringify(['1', ref, `realtime:room-${this.room}`, event, payload]))
  }

  #connect(): void {
    if (this.#closed) return
    const socket = new WebSocket(this.#url, { handshakeTimeout: JOIN_WITHIN_MS, perMessageDeflate: false })
    this.#socket = socket
    const late = setTimeout(() => socket.terminate(), JOIN_WITHIN_MS)
    socket.on('error', () => {})
    sendHeartbeats(socket)
    socket.on('close', (code) => {
      clearTimeout(late)
      if (this.joined) this.#lost(code)
      this.joined = false
      this.stored.end()
      setTimeout(() => this.#connect(), RETRY_MS)
    })
    socket.on('upgrade', ({ socket: { localPort } }) => {
      this.node = this.#nodeOf(localPort ?? 0)
      this.#nodeLife = this.node?.life ?? null
    })
    socket.on('open', () => {
      const since = this.#position === null ? {} : { since: this.#position.text }
      const config = {
        broadcast: { ack: true, gaps: true },
        presence: { enabled: true, key: `k${this.id}` },
        postgres_changes: [{ event: 'INSERT', schema: 'public', table: 'journal' }],
        postgres_changes_options: { positions: true, ...since },
      }
      this.#send('1', 'phx_join', { config })
    })
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      const [, ref, topic, event, payload] = isBinary ? frameOf(data) : (JSON.parse(data.toString()) as Frame)
      if (topic === STORED_TOPIC) this.stored.receive(ref, event, payload)
      else if (event === 'phx_reply' && ref === '1') {
        if (payload['status'] !== 'ok') return socket.terminate()
        clearTimeout(late)
        this.#joined()
      } else this.#receive(socket, ref, event, payload)
    })
  }

  #joined(): void {
    this.joined = true
    this.joins++
    const absence = this.absences.at(-1)
    if (absence !== undefined) absence.joinedAt = performance.now()
    this.breaks.push(performance.now())
    this.stored.join()
    this.#send('t', 'presence', { type: 'presence', event: 'track', payload: { id: this.id } })
  }

  #lost(code: number): void {
    this.absences.push({ lostAt: performance.now(), refs: this.#ownRefs(), joinedAt: null, liveAt: null })
    if (this.#nodeLife?.isOver === false && !this.#closed)
      this.faults.push(`client ${this.id} lost its socket with ${code}, and node ${this.node?.name} goes on`)
  }

  #ownRefs(): readonly string[] {
    return Array.from(this.#presence, ([ref, key]) => (key === `k${this.id}` ? ref : '')).filter((ref) => ref !== '')
  }

  #receive(socket: WebSocket, ref: string | null, event: string, payload: Record<string, unknown>): void {
    switch (event) {
      case 'phx_close':
        return socket.terminate()
      case 'phx_reply':
        if (ref?.startsWith('b') === true && payload['status'] === 'ok') this.acknowledged.push(Number(ref.slice(1)))
        return
      case 'broadcast': {
        const { from, n } = payload['payload'] as { readonly from: number; readonly n: number }
        return void this.received.push({ from, n, at: performance.now() })
      }
      case 'presence_state':
        this.#presence.clear()
        this.#join(payload as PresenceMetas)
        return this.#checkView('presence_state')
      case 'presence_diff':
        this.#join(payload['joins'] as PresenceMetas)
        for (const { metas } of Object.values(payload['leaves'] as PresenceMetas))
          for (const { phx_ref } of metas) this.#presence.delete(phx_ref)
        return this.#checkView('presence_diff')
      case 'system':
        return this.#system(payload)
      case 'postgres_changes':
        return this.#row(payload['data'] as { readonly position: string; readonly record: { readonly id: number } })
    }
  }

  #checkView(event: string): void {
    if (this.expectedKeys.length === 0) return
    const keys = new Set(this.#presence.values())
    const missing = this.expectedKeys.filter((key) => !keys.has(key))
    if (missing.length === 0) return
    const lostAt = this.absences.at(-1)?.lostAt
    const since = lostAt === undefined ? '' : `, ${Math.round(performance.now() - lostAt)} ms after it lost its socket`
    this.flickers.push(`client ${this.id} does not see ${missing.join()} after a ${event} of node ${this.node?.name}${since}`)
  }

  #join(state: PresenceMetas): void {
    for (const [key, { metas }] of Object.entries(state)) for (const { phx_ref } of metas) this.#presence.set(phx_ref, key)
  }

  #system({ gap, message, position, recovered, reason }: Record<string, unknown>): void {
    if (gap !== undefined) {
      this.gaps++
      if (gap === 'relay-lost') this.lossesAt.push(performance.now())
      this.breaks.push(performance.now())
    }
    if (message === 'Subscribed to PostgreSQL') {
      this.live = true
      const absence = this.absences.at(-1)
      if (absence !== undefined) absence.liveAt ??= performance.now()
    }
    if (message === 'Subscribed to PostgreSQL' && this.#position !== null && recovered !== true)
      this.faults.push(`client ${this.id}: row changes were not recovered: ${String(reason)}`)
    if (typeof message === 'string' && message.startsWith('Changes may have been missed')) this.faults.push(`client ${this.id}: ${message}`)
    if (typeof position === 'string') this.#remember(position)
  }

  #row({ position, record }: { readonly position: string; readonly record: { readonly id: number } }): void {
    const before = this.#position
    this.#remember(position)
    if (before !== null && compareLogPositions(this.#position!.parsed, before.parsed) <= 0)
      this.faults.push(`client ${this.id}: ${position} came after ${before.text}`)
    this.rows.push(record.id)
  }

  #remember(text: string): void {
    const parsed = parsePosition(text)
    if (parsed !== null) this.#position = { text, parsed }
    else this.faults.push(`client ${this.id}: ${text} is no position`)
  }
}

/** Messages from SQL are binary. */
function frameOf(data: Uint8Array): Frame {
  const decoded = decodeServerFrame('2.0.0', data)
  if (!decoded.ok) throw new Error(`a frame cannot be read: ${decoded.detail}`)
  const { joinRef, ref, topic, event, payload } = decoded.value
  return [joinRef, ref === null ? null : String(ref), topic, event, payload as Record<string, unknown>]
}

/** How long after messages went on a gap may be reported: a heartbeat of the other node, and the way. */
const REPORTED_WITHIN_MS = 3_000

/**
 * What one client got of another's acknowledged broadcasts and should not have, or should have got: doubled, out of order, or missing
 * without a gap, a join, or a break of the sender near by.
 */
export function broadcastFaults(receiver: Pick<ClusterClient, 'id' | 'received' | 'breaks'>, sender: ClusterClient): string[] {
  const faults: string[] = []
  const acknowledged = new Set(sender.acknowledged)
  const last = sender.acknowledged.at(-1) ?? 0
  let before = { n: 0, at: -Infinity }
  const between = (from: number, to: number): boolean => receiver.breaks.some((at) => at >= from && at <= to + REPORTED_WITHIN_MS)
  const missing = (to: { readonly n: number; readonly at: number }): void => {
    for (let n = before.n + 1; n < to.n; n++) {
      if (!acknowledged.has(n) || between(before.at, to.at)) continue
      faults.push(`client ${receiver.id} missed broadcast ${n} of client ${sender.id} without a gap`)
      return
    }
  }
  for (const each of receiver.received) {
    if (each.from !== sender.id) continue
    if (each.n <= before.n) faults.push(`client ${receiver.id} got broadcast ${each.n} of client ${sender.id} after ${before.n}`)
    missing(each)
    before = each
  }
  missing({ n: last + 1, at: Infinity })
  return faults
}
