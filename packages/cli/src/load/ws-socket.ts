import { WebSocket } from 'ws'
import { failed, reasonOf } from '../failure.ts'
import { visible } from '../output.ts'
import { unreachable } from '../remote/joined-topic.ts'
import type { Target } from '../remote/target.ts'
import type { LoadSocket, SocketOwner } from './load-generator.ts'

const MAX_ANSWER_BYTES = 500
const HEARTBEAT_MS = 25_000
const MARK = '"tidewire_bench":"'
const SEQUENCE_DIGITS = 10

export interface WsSocketOptions {
  readonly target: Target
  /** Topics are called this with a number behind it. */
  readonly topicPrefix: string
  readonly isPrivate: boolean
  readonly payloadBytes: number
  readonly owner: SocketOwner
}

/** A socket of a load that is an ordinary WebSocket, version 2.0.0 only, and reads refusals. */
export class WsSocket implements LoadSocket {
  readonly #options: WsSocketOptions
  readonly #target: Target
  readonly #socket: WebSocket
  #ref = 0
  readonly #asked = new Map<string, { readonly resolve: () => void; readonly reject: (error: Error) => void }>()
  #isClosing = false

  private constructor(options: WsSocketOptions) {
    this.#options = options
    this.#target = options.target
    const { endpoint, key, timeoutMs } = this.#target
    this.#socket = new WebSocket(`${endpoint}/websocket?vsn=2.0.0&apikey=${encodeURIComponent(key)}`, {
      perMessageDeflate: false,
      handshakeTimeout: timeoutMs,
    })
    this.#socket.on('message', (data: Buffer, isBinary) => this.#read(data, isBinary))
    this.#socket.on('close', (code, reason) => this.#closed(`${code}${reason.length > 0 ? `, ${visible(reason.toString())}` : ''}`))
  }

  /** Rejects with a Failure. */
  static async open(options: WsSocketOptions): Promise<WsSocket> {
    const socket = new WsSocket(options)
    await socket.#opened()
    socket.#beat()
    return socket
  }

  /** Rejects with a Failure that has the server's reason. */
  async join(topic: number): Promise<void> {
    const broadcast = { self: false, ack: false }
    const config = { private: this.#options.isPrivate, broadcast, presence: { enabled: false }, postgres_changes: [] }
    await this.#ask(this.#topic(topic), 'phx_join', { config })
  }

  send(topic: number, sequence: number): void {
    const mark = `{${MARK}${String(sequence).padStart(SEQUENCE_DIGITS, '0')}"`
    const rest = this.#options.payloadBytes - mark.length - '}'.length
    const payload = rest < 7 ? `${mark}}` : `${mark},"p":"${'x'.repeat(rest - 7)}"}`
    this.#socket.send(`["1","0","${this.#topic(topic)}","broadcast",{"type":"broadcast","event":"bench","payload":${payload}}]`)
  }

  close(): void {
    this.#isClosing = true
    this.#socket.terminate()
  }

  #topic(topic: number): string {
    return `realtime:${this.#options.topicPrefix}-${topic}`
  }

  #opened(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.once('open', resolve)
      this.#socket.once('unexpected-response', (_request, response) => {
        let body = ''
        response.setEncoding('utf8').on('data', (text: string) => (body += text.slice(0, MAX_ANSWER_BYTES)))
        response.once('close', () => {
          reject(unreachable(this.#target.url, { status: response.statusCode ?? 0, detail: visible(errorIn(body)) }))
          this.close()
        })
      })
      this.#socket.on('error', (error) => reject(unreachable(this.#target.url, { status: null, detail: reasonOf(error) })))
    })
  }

  #beat(): void {
    const heartbeats = setInterval(() => this.#write([null, this.#nextRef(), 'phoenix', 'heartbeat', {}]), HEARTBEAT_MS)
    this.#socket.once('close', () => clearInterval(heartbeats))
  }

  async #ask(topic: string, event: string, payload: object): Promise<void> {
    const ref = this.#nextRef()
    const timer = setTimeout(
      () => this.#asked.get(ref)?.reject(failed(`${this.#target.url} did not answer within ${this.#target.timeoutMs / 1000} s.`)),
      this.#target.timeoutMs,
    )
    try {
      await new Promise<void>((resolve, reject) => {
        this.#asked.set(ref, { resolve, reject })
        this.#write([ref, ref, topic, event, payload])
      })
    } finally {
      clearTimeout(timer)
      this.#asked.delete(ref)
    }
  }

  #nextRef(): string {
    return String(++this.#ref)
  }

  #write(message: readonly unknown[]): void {
    this.#socket.send(JSON.stringify(message))
  }

  #read(frame: Buffer, isBinary: boolean): void {
    // Nearly every frame is a broadcast; both of its refs are null, so its beginning identifies it.
    if (isBinary || frame.subarray(0, 11).toString('latin1') === '[null,null,') return this.#broadcast(frame)
    const [, ref, , event, payload] = JSON.parse(frame.toString()) as [unknown, string | null, string, string, Record<string, unknown>]
    if (event === 'phx_reply') return this.#answered(ref ?? '', payload)
    if (event === 'system' && payload['status'] === 'error') this.#ended(`the server said: ${visible(String(payload['message']), 500)}`)
    else if (event === 'phx_close' || event === 'phx_error') this.#ended('the server closed a channel')
  }

  #broadcast(frame: Buffer): void {
    const at = frame.indexOf(MARK)
    if (at < 0) return
    const sequence = Number(frame.toString('latin1', at + MARK.length, at + MARK.length + SEQUENCE_DIGITS))
    this.#options.owner.delivered(sequence, performance.now())
  }

  #answered(ref: string, { status, response }: Record<string, unknown>): void {
    const asked = this.#asked.get(ref)
    if (asked === undefined) return
    if (status === 'ok') return asked.resolve()
    const { reason } = (response ?? {}) as { readonly reason?: unknown }
    asked.reject(
      failed(`${this.#target.url} refused a channel: ${visible(typeof reason === 'string' ? reason : 'without a reason', 500)}.`),
    )
  }

  #closed(why: string): void {
    for (const { reject } of this.#asked.values()) reject(failed(`${this.#target.url} closed a connection (${why}).`))
    this.#ended(`the server closed a connection (${why})`)
  }

  #ended(why: string): void {
    if (!this.#isClosing) this.#options.owner.lost(failed(`${this.#target.url} ended the test: ${why}.`))
  }
}

function errorIn(body: string): string {
  try {
    return (JSON.parse(body) as { readonly error?: string }).error ?? body
  } catch {
    return body
  }
}
