import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { WebSocket } from 'ws'
import { keepPace, type Pace } from './pace.ts'

const TOPIC = 'realtime:bench'
const FILL = 'x'.repeat(150)

/** A socket on the topic, in the process of the benchmark: one clock for both ends. */
export class Member {
  readonly #socket: WebSocket
  readonly #tcp: Socket
  #latenciesMs: number[] = []

  private constructor(socket: WebSocket, tcp: Socket) {
    this.#socket = socket
    this.#tcp = tcp
  }

  static async join({ port, apiKey }: { readonly port: number; readonly apiKey: string }): Promise<Member> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/socket/websocket?vsn=2.0.0&apikey=${apiKey}`, { perMessageDeflate: false })
    const [[response]] = (await Promise.all([once(socket, 'upgrade'), once(socket, 'open')])) as [[IncomingMessage], unknown]
    const member = new Member(socket, response.socket)
    const joined = once(socket, 'message')
    socket.send(JSON.stringify(['1', '1', TOPIC, 'phx_join', { config: {} }]))
    await joined
    socket.on('message', (data: Buffer) => member.#receive(data))
    return member
  }

  /** Sends for so long; returns how many. */
  send(pace: Pace): Promise<number> {
    return keepPace(pace, (count) => this.#burst(count))
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

  /** One write to the kernel: else each frame of a burst may wake the server, and come in a turn of its own. */
  #burst(count: number): void {
    this.#tcp.cork()
    for (let at = 0; at < count; at++) {
      const payload = { type: 'broadcast', event: 'e', payload: { at: performance.now(), fill: FILL } }
      this.#socket.send(JSON.stringify(['1', null, TOPIC, 'broadcast', payload]))
    }
    this.#tcp.uncork()
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
