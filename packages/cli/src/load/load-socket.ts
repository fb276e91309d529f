import { WebSocket } from 'ws'
import { failed, reasonOf } from '../failure.ts'
import { visible } from '../output.ts'
import { unreachable } from '../remote/joined-topic.ts'
import type { Target } from '../remote/target.ts'

const MAX_ANSWER_BYTES = 500

/** Is called with each frame that is no reply. */
export type OnMessage = (frame: Buffer) => void

/** One WebSocket of a load test, version 2.0.0 only: joins, sends, and reads refusals. */
export class LoadSocket {
  readonly #target: Target
  readonly #socket: WebSocket
  readonly #onMessage: OnMessage
  /** Is called when the connection is gone, or the server ended a channel. */
  readonly #onEnd: (why: string) => void
  #ref = 0
  readonly #asked = new Map<string, { readonly resolve: () => void; readonly reject: (error: Error) => void }>()
  #isClosing = false

  private constructor(target: Target, onMessage: OnMessage, onEnd: (why: string) => void) {
    this.#target = target
    this.#onMessage = onMessage
    this.#onEnd = onEnd
    this.#socket = new WebSocket(`${target.endpoint}/websocket?vsn=2.0.0&apikey=${encodeURIComponent(target.key)}`, {
      perMessageDeflate: false,
      handshakeTimeout: target.timeoutMs,
    })
    this.#socket.on('message', (data: Buffer, isBinary) => this.#read(data, isBinary))
    this.#socket.on('close', (code, reason) => this.#closed(`${code}${reason.length > 0 ? `, ${visible(reason.toString())}` : ''}`))
  }

  /** Rejects with a Failure. */
  static async open(target: Target, onMessage: OnMessage, onEnd: (why: string) => void): Promise<LoadSocket> {
    const socket = new LoadSocket(target, onMessage, onEnd)
    await socket.#opened()
    return socket
  }

  /** Joins a channel. Rejects with a Failure that has the server's reason. */
  async join(topic: string, isPrivate: boolean): Promise<void> {
    const config = { private: isPrivate, broadcast: { self: false, ack: false }, presence: { enabled: false }, postgres_changes: [] }
    await this.#ask(topic, 'phx_join', { config })
  }

  heartbeat(): void {
    this.#write([null, this.#nextRef(), 'phoenix', 'heartbeat', {}])
  }

  send(text: string): void {
    this.#socket.send(text)
  }

  close(): void {
    this.#isClosing = true
    this.#socket.terminate()
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

  async #ask(topic: string, event: string, payload: object): Promise<void> {
    const ref = this.#nextRef()
    const timer = setTimeout(
      () => this.#asked.get(ref)?.reject(failed(`${this.#target.url} did not answer within ${this.#target.timeoutMs / 1000} s.`)),
      this.#target.timeoutMs,
    )
    try {
      await new Promise<void>((resolve, reject) => {
        this.#asked.set(ref, { resolve, reject })
        this.#write([ref, ref, `realtime:${topic}`, event, payload])
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
    if (isBinary || frame.subarray(0, 11).toString('latin1') === '[null,null,') return this.#onMessage(frame)
    const [, ref, , event, payload] = JSON.parse(frame.toString()) as [unknown, string | null, string, string, Record<string, unknown>]
    if (event === 'phx_reply') return this.#answered(ref ?? '', payload)
    if (event === 'system' && payload['status'] === 'error') this.#ended(`the server said: ${visible(String(payload['message']), 500)}`)
    else if (event === 'phx_close' || event === 'phx_error') this.#ended('the server closed a channel')
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
    if (!this.#isClosing) this.#onEnd(why)
  }
}

function errorIn(body: string): string {
  try {
    return (JSON.parse(body) as { readonly error?: string }).error ?? body
  } catch {
    return body
  }
}
