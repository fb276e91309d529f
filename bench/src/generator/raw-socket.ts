import { connect, type OnReadOpts, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Address } from '../messages.ts'
import { textFrame } from './client-frame.ts'
import type { Dialect } from './dialect.ts'
import { FrameReader } from './frame-reader.ts'

export interface RawSocketOptions {
  readonly address: Address
  readonly dialect: Dialect
  /** 127.0.0.x, so that many sockets do not use up one address's ports; null for whatever reaches the server. */
  readonly localAddress: string | null
  /** The length of a delivered message, and what stands behind its sequence number. */
  readonly deliveryBytes: number
  readonly tailBytes: number
  /** `at` is when it was read, in milliseconds. */
  readonly delivered: (sequence: number, at: number) => void
  readonly wasRead: () => void
  /** The server went away without being asked to. */
  readonly lost: (why: string) => void
}

/** An answer that takes longer has failed. */
const ANSWER_TIMEOUT_MS = 30_000

/** Every socket reads into the same bytes: they are looked through before the next one reads. */
const shared = Buffer.allocUnsafe(256 * 1024)

/** A WebSocket at the least cost: a handshake of its own, and frames that are counted where they lie. */
export class RawSocket {
  readonly #options: RawSocketOptions
  readonly #socket: Socket
  readonly #reader: FrameReader
  /** The head of the upgrade's answer, until it is whole. */
  #head: string | null = ''
  /** Waits for the next text frame that fits. */
  #waiting: { readonly fits: (text: string) => boolean; readonly done: (text: string) => void } | null = null
  #failed: (error: Error) => void = () => {}
  #closing = false
  #gathered: Buffer[] = []

  private constructor(options: RawSocketOptions) {
    this.#options = options
    this.#reader = new FrameReader(options.deliveryBytes, options.tailBytes, {
      delivered: options.delivered,
      text: (text) => this.#text(text),
      closed: (code) => this.#end(`closed with ${code}`),
    })
    const { host, port, isTls } = options.address
    const onread: OnReadOpts = {
      buffer: shared,
      callback: (size) => {
        this.#read(shared, size)
        return true
      },
    }
    const local = options.localAddress === null ? {} : { localAddress: options.localAddress }
    this.#socket = isTls
      ? connectTls({ host, port, servername: host, ...({ onread } as object) })
      : connect({ host, port, ...local, noDelay: true, onread })
    this.#socket.setNoDelay(true)
    this.#socket.on('error', (error) => this.#end(error.message))
    this.#socket.on('close', () => this.#end('the connection ended'))
  }

  /** Connects, upgrades and greets. Rejects when the server refuses. */
  static async open(options: RawSocketOptions): Promise<RawSocket> {
    const socket = new RawSocket(options)
    await socket.#upgraded()
    const { greeting } = options.dialect
    if (greeting !== null) await socket.ask(greeting.text, (text) => text.startsWith(greeting.answer))
    return socket
  }

  /** Sends a text and waits for the answer that fits. */
  ask(text: string, fits: (text: string) => boolean): Promise<string> {
    this.write(textFrame(text))
    return this.until(fits)
  }

  /** The next text that fits and is no delivery. Rejects when the connection ends, and when it takes too long. */
  async until(fits: (text: string) => boolean): Promise<string> {
    const timer = setTimeout(() => this.#end(`nothing came for ${ANSWER_TIMEOUT_MS / 1000} s`), ANSWER_TIMEOUT_MS)
    try {
      return await new Promise((resolve, reject) => {
        this.#waiting = { fits, done: resolve }
        this.#failed = reject
      })
    } finally {
      clearTimeout(timer)
    }
  }

  write(frame: Buffer): void {
    this.#socket.write(frame)
  }

  /** Writes at the end of this turn, with all else that it gathers: the generator must not spend its time on small writes. */
  gather(frame: Buffer): void {
    if (this.#gathered.length === 0) setImmediate(() => this.#flush())
    this.#gathered.push(frame)
  }

  close(): void {
    this.#closing = true
    this.#socket.destroy()
  }

  #flush(): void {
    const frames = this.#gathered
    this.#gathered = []
    this.write(frames.length === 1 ? frames[0]! : Buffer.concat(frames))
  }

  #upgraded(): Promise<string> {
    this.#socket.write(
      `GET ${this.#options.dialect.path} HTTP/1.1\r\nHost: ${this.#options.address.authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    )
    return this.until(() => true)
  }

  #read(chunk: Buffer, size: number): void {
    if (this.#head === null) {
      this.#options.wasRead()
      return this.#reader.read(chunk, size, performance.now())
    }
    this.#head += chunk.toString('latin1', 0, size)
    const end = this.#head.indexOf('\r\n\r\n')
    if (end < 0) return
    if (!this.#head.startsWith('HTTP/1.1 101')) return this.#end(`the upgrade was refused: ${this.#head.slice(0, 200)}`)
    const rest = Buffer.from(this.#head.slice(end + 4), 'latin1')
    this.#head = null
    this.#text('upgraded')
    if (rest.length > 0) this.#reader.read(rest, rest.length, performance.now())
  }

  #text(text: string): void {
    const answer = this.#options.dialect.answer(text)
    if (answer !== null) return this.write(textFrame(answer))
    const refusal = this.#options.dialect.refusal(text)
    if (refusal !== null) return this.#end(refusal)
    if (this.#waiting?.fits(text) !== true) return
    const { done } = this.#waiting
    this.#waiting = null
    done(text)
  }

  #end(why: string): void {
    if (this.#closing) return
    this.#closing = true
    this.#socket.destroy()
    this.#failed(new Error(why))
    this.#options.lost(why)
  }
}
