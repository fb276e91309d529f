import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'

export interface Pace {
  readonly burst: number
  readonly perSecond: number
  readonly forMs: number
}

const TOPIC = 'realtime:bench'
const FILL = 'x'.repeat(150)

/** A socket on the topic, in the process of the benchmark: one clock for both ends. */
export class Member {
  readonly #socket: WebSocket
  #latenciesMs: number[] = []

  private constructor(socket: WebSocket) {
    this.#socket = socket
  }

  static async join({ port, apiKey }: { readonly port: number; readonly apiKey: string }): Promise<Member> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/socket/websocket?vsn=2.0.0&apikey=${apiKey}`, { perMessageDeflate: false })
    await once(socket, 'open')
    const member = new Member(socket)
    const joined = once(socket, 'message')
    socket.send(JSON.stringify(['1', '1', TOPIC, 'phx_join', { config: {} }]))
    await joined
    socket.on('message', (data: Buffer) => member.#receive(data))
    return member
  }

  /** Sends for so long; returns how many. */
  async send({ burst, perSecond, forMs }: Pace): Promise<number> {
    const startedAt = performance.now()
    let sent = 0
    while (performance.now() - startedAt < forMs) {
      const due = Math.floor(((performance.now() - startedAt) / 1_000) * perSecond) - sent
      for (let left = due - (due % burst); left > 0; left -= burst) sent += this.#burst(burst)
      await delay(1)
    }
    return sent
  }

  /** Milliseconds from sending to receiving, since the last call. */
  take(): readonly number[] {
    const taken = this.#latenciesMs
    this.#latenciesMs = []
    return taken
  }

  close(): void {
    this.#socket.terminate()
  }

  #burst(count: number): number {
    for (let at = 0; at < count; at++) {
      const payload = { type: 'broadcast', event: 'e', payload: { at: performance.now(), fill: FILL } }
      this.#socket.send(JSON.stringify(['1', null, TOPIC, 'broadcast', payload]))
    }
    return count
  }

  #receive(data: Buffer): void {
    const [, , , event, payload] = JSON.parse(data.toString()) as [
      unknown,
      unknown,
      string,
      string,
      { readonly payload: { readonly at: number } },
    ]
    if (event === 'broadcast') this.#latenciesMs.push(performance.now() - payload.payload.at)
  }
}
