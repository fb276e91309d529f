import { connect, type Socket } from 'node:net'
import type { Broker, BrokerEvents, BrokerSession } from '@tidewire/nats'
import { confirmFrame, BrokerFrameReader, MAX_PAYLOAD_BYTES, messageFrame, subscribeFrame, type BrokerFrame } from './broker-frames.ts'
import { JoinedWrites } from './joined-writes.ts'

export interface LocalBrokerOptions {
  /** The path of the primary's socket. */
  readonly path: string
  readonly maxPayloadBytes?: number
}

const PLACE = 'the primary process'
const CLOSE_MS = 1_000

/** The broker of the workers of one machine: the socket of their primary. */
export function localBroker({ path, maxPayloadBytes = MAX_PAYLOAD_BYTES }: LocalBrokerOptions): Broker {
  return {
    place: PLACE,
    connect: (events) =>
      new Promise((resolve, reject) => {
        const socket = connect(path)
        socket.once('error', (error: NodeJS.ErrnoException) =>
          reject(new Error(`${PLACE} is not reachable: ${error.code ?? error.message}`)),
        )
        socket.once('connect', () => resolve(new LocalSession(socket, events, maxPayloadBytes)))
      }),
  }
}

class LocalSession implements BrokerSession {
  readonly maxPayloadBytes: number
  readonly #socket: Socket
  readonly #writes: JoinedWrites
  readonly #received = new Map<string, Set<(bytes: Uint8Array) => void>>()
  readonly #confirmations = new Map<number, { readonly resolve: () => void; readonly reject: (error: Error) => void }>()
  #asked = 0
  #closing = false

  constructor(socket: Socket, events: BrokerEvents, maxPayloadBytes: number) {
    this.#socket = socket
    this.#writes = new JoinedWrites(socket)
    this.maxPayloadBytes = maxPayloadBytes
    const reader = new BrokerFrameReader()
    socket.on('data', (chunk) => {
      const frames = reader.read(chunk)
      if (frames === null) return void socket.destroy()
      for (const frame of frames) this.#take(frame)
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      for (const { reject } of this.#confirmations.values()) reject(new Error('the connection ended'))
      this.#confirmations.clear()
      if (!this.#closing) events.closed(`${PLACE} closed the connection`)
    })
  }

  publish(subject: string, bytes: Uint8Array): boolean {
    if (this.#socket.destroyed || bytes.length > this.maxPayloadBytes) return false
    this.#writes.write(messageFrame(subject, bytes))
    return true
  }

  subscribe(subject: string, received: (bytes: Uint8Array) => void): () => void {
    const present = this.#received.get(subject)
    if (present === undefined) {
      this.#received.set(subject, new Set([received]))
      this.#writes.write(subscribeFrame('subscribe', subject))
    } else present.add(received)
    return () => {
      const those = this.#received.get(subject)
      if (those === undefined || !those.delete(received) || those.size > 0) return
      this.#received.delete(subject)
      this.#writes.write(subscribeFrame('unsubscribe', subject))
    }
  }

  confirm(): Promise<void> {
    if (this.#socket.destroyed) return Promise.reject(new Error('the connection ended'))
    const number = (this.#asked = (this.#asked + 1) >>> 0)
    return new Promise((resolve, reject) => {
      this.#confirmations.set(number, { resolve, reject })
      this.#writes.write(confirmFrame(number))
    })
  }

  async close(): Promise<void> {
    this.#closing = true
    if (this.#socket.destroyed) return
    this.#writes.flush()
    await new Promise<void>((resolve) => {
      // A frozen primary does not close its side.
      const late = setTimeout(() => this.#socket.destroy(), CLOSE_MS)
      this.#socket.once('close', () => {
        clearTimeout(late)
        resolve()
      })
      this.#socket.end()
    })
  }

  #take(frame: BrokerFrame): void {
    if (frame.kind === 'message') for (const received of this.#received.get(frame.subject) ?? []) received(frame.payload)
    if (frame.kind !== 'confirm') return
    this.#confirmations.get(frame.number)?.resolve()
    this.#confirmations.delete(frame.number)
  }
}
