import { connect, type Socket } from 'node:net'
import { textFrame } from './client-frame.ts'
import type { Dialect } from './dialect.ts'
import { FrameReader } from './frame-reader.ts'

export interface RawSocketOptions {
  readonly port: number
  readonly dialect: Dialect
  /** 127.0.0.x, so that many sockets do not use up one address's ports. */
  readonly localAddress: string
  /** The length of a delivered message, and what stands behind its sequence number. */
  readonly deliveryBytes: number
  readonly tailBytes: number
  readonly delivered: (sequence: number) => void
  readonly wasRead: () => void
  /** The server went away without being asked to. */
  readonly lost: (why: string) => void
}

/** Every socket reads into the same bytes: they are looked through before the next one reads. */
const shared = Buffer.allocUnsafe(256 * 1024)

/** A WebSocket without the costs of one: an own handshake, and frames that are counted where they lie. */
export class RawSocket {
  readonly #options: RawSocketOptions
  readonly #socket: Socket
  readonly #reader: FrameReader
  /** The head of the upgrade's answer, until it is whole. */
  #head: string | null = ''
  /** Whoever waits for the next text frame that fits. */
  #waiting: { readonly fits: (text: string) => boolean; readonly done: () => void } | null = null
  #failed: (error: Error) => void = () => {}
  #closing = false

  private constructor(options: RawSocketOptions) {
    this.#options = options
    this.#reader = new FrameReader(options.deliveryBytes, options.tailBytes, {
      delivered: options.delivered,
      text: (text) => this.#text(text),
      closed: (code) => this.#end(`closed with ${code}`),
    })
    this.#socket = connect({
      host: '127.0.0.1',
      port: options.port,
      localAddress: options.localAddress,
      noDelay: true,
      onread: {
        buffer: shared,
        callback: (size) => {
          this.#read(shared, size)
          return true
        },
      },
    })
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
  ask(text: string, fits: (text: string) => boolean): Promise<void> {
    this.write(textFrame(text))
    return this.#until(fits)
  }

  write(frame: Buffer): void {
    this.#socket.write(frame)
  }

  close(): void {
    this.#closing = true
    this.#socket.destroy()
  }

  #upgraded(): Promise<void> {
    this.#socket.write(
      `GET ${this.#options.dialect.path} HTTP/1.1\r\nHost: 127.0.0.1:${this.#options.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    )
    return this.#until(() => true)
  }

  #until(fits: (text: string) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting = { fits, done: resolve }
      this.#failed = reject
    })
  }

  #read(chunk: Buffer, size: number): void {
    if (this.#head === null) {
      this.#options.wasRead()
      return this.#reader.read(chunk, size)
    }
    this.#head += chunk.toString('latin1', 0, size)
    const end = this.#head.indexOf('\r\n\r\n')
    if (end < 0) return
    if (!this.#head.startsWith('HTTP/1.1 101')) return this.#end(`the upgrade was refused: ${this.#head.slice(0, 200)}`)
    const rest = Buffer.from(this.#head.slice(end + 4), 'latin1')
    this.#head = null
    this.#text('upgraded')
    if (rest.length > 0) this.#reader.read(rest, rest.length)
  }

  #text(text: string): void {
    const answer = this.#options.dialect.answer(text)
    if (answer !== null) return this.write(textFrame(answer))
    if (this.#waiting?.fits(text) !== true) return
    const { done } = this.#waiting
    this.#waiting = null
    done()
  }

  #end(why: string): void {
    if (this.#closing) return
    this.#closing = true
    this.#socket.destroy()
    this.#failed(new Error(why))
    this.#options.lost(why)
  }
}
