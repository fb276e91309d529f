import { once } from 'node:events'
import { WebSocket } from 'ws'

/** Channels that join, or track, at a time on one socket. */
const WINDOW = 50
const HEARTBEAT_MS = 20_000

export interface Entry {
  readonly topic: number
  readonly key: string
}

type Frame = readonly [
  joinRef: string | null,
  ref: string | null,
  topic: string,
  event: string,
  payload: { readonly status?: string; readonly joins?: object; readonly leaves?: object },
]

/** One socket with many channels, each of which tracks one presence in a topic of its own. */
export class PresenceSocket {
  /** Entries that came into view and left it, over all channels. */
  entered = 0
  left = 0
  lastLeftAt = 0
  readonly #socket: WebSocket
  readonly #entries: readonly Entry[]
  readonly #beating: NodeJS.Timeout
  #replied: () => void = () => {}

  private constructor(socket: WebSocket, entries: readonly Entry[]) {
    this.#socket = socket
    this.#entries = entries
    socket.on('message', (data: Buffer) => this.#receive(JSON.parse(data.toString()) as Frame))
    socket.on('error', () => {})
    this.#beating = setInterval(() => socket.send('[null,"hb","phoenix","heartbeat",{}]'), HEARTBEAT_MS)
  }

  static async open(port: number, apiKey: string, entries: readonly Entry[]): Promise<PresenceSocket> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/socket/websocket?vsn=2.0.0&apikey=${apiKey}`, { perMessageDeflate: false })
    await once(socket, 'open')
    return new PresenceSocket(socket, entries)
  }

  get isOpen(): boolean {
    return this.#socket.readyState === WebSocket.OPEN
  }

  join(): Promise<void> {
    return this.#each((at, { key }) => this.#push(at, `j${at}`, 'phx_join', { config: { presence: { enabled: true, key } } }))
  }

  track(): Promise<void> {
    return this.#each((at, { key }) =>
      this.#push(at, `t${at}`, 'presence', {
        type: 'presence',
        event: 'track',
        payload: { user_id: key, name: `user ${key}`, online_at: '2026-11-30T12:00:00.000Z' },
      }),
    )
  }

  close(): void {
    clearInterval(this.#beating)
    this.#socket.terminate()
  }

  /** Pushes for every channel, a window of them at a time; resolves with the last reply, rejects when one is refused. */
  #each(push: (at: number, entry: Entry) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      let [sent, answered] = [0, 0]
      const next = (): void => {
        if (sent === this.#entries.length) return
        push(sent, this.#entries[sent]!)
        sent++
      }
      this.#socket.once('close', (code) => reject(new Error(`a node closed a socket with ${code}`)))
      this.#replied = () => {
        answered++
        next()
        if (answered === this.#entries.length) resolve()
      }
      for (let count = 0; count < WINDOW; count++) next()
    })
  }

  #push(at: number, ref: string, event: string, payload: object): void {
    this.#socket.send(JSON.stringify([`j${at}`, ref, topicName(this.#entries[at]!.topic), event, payload]))
  }

  #receive([, ref, , event, payload]: Frame): void {
    if (event === 'phx_reply' && ref !== 'hb') {
      if (payload.status !== 'ok') throw new Error(`refused: ${JSON.stringify(payload)}`)
      this.#replied()
    } else if (event === 'presence_state') this.entered += Object.keys(payload).length
    else if (event === 'presence_diff') {
      this.entered += Object.keys(payload.joins ?? {}).length
      const left = Object.keys(payload.leaves ?? {}).length
      if (left === 0) return
      this.left += left
      this.lastLeftAt = performance.now()
    }
  }
}

export function topicName(topic: number): string {
  return `realtime:presence-${topic}`
}
