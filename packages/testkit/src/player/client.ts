import { WebSocket } from 'ws'
import type { Version } from '@tidewire/protocol'
import { envelopeOf } from '../recording/frame.ts'
import { responseOf } from './http.ts'
import type { RecordedFrame, RecordedResponse } from '../recording/transcript.ts'

export type ConnectionState =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'open'; readonly extensions: string }
  | { readonly kind: 'refused'; readonly response: RecordedResponse }
  | { readonly kind: 'closed'; readonly code: number; readonly reason: string }

export interface ClientEvents {
  frame(frame: RecordedFrame): void
  /** The connection, or an answer to a barrier. */
  changed(): void
}

const BARRIER = 'barrier-'

/** One real WebSocket that says what the recorded client said. */
export class TranscriptClient {
  readonly name: string
  readonly #version: Version
  readonly #events: ClientEvents
  readonly #socket: WebSocket
  #state: ConnectionState = { kind: 'connecting' }
  #barriersSent = 0
  #barriersAnswered = 0

  constructor(name: string, url: string, version: Version, headers: Readonly<Record<string, string>>, events: ClientEvents) {
    this.name = name
    this.#version = version
    this.#events = events
    this.#socket = new WebSocket(url, { headers, maxPayload: 2 ** 26 })
    this.#socket.on('open', () => this.#become({ kind: 'open', extensions: this.#socket.extensions }))
    this.#socket.on('close', (code, reason) => {
      if (this.#state.kind !== 'refused') this.#become({ kind: 'closed', code, reason: reason.toString() })
    })
    // The close that follows gives the reason.
    this.#socket.on('error', () => {})
    this.#socket.on('message', (data, binary) => this.#received(data as Buffer, binary))
    this.#socket.on('unexpected-response', (request, response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => {
        this.#become({ kind: 'refused', response: responseOf(response, chunks) })
        request.destroy()
      })
    })
  }

  get state(): ConnectionState {
    return this.#state
  }

  /** True when the server has answered everything that was asked of it. */
  get isQuiet(): boolean {
    return this.#barriersAnswered === this.#barriersSent
  }

  send(frame: RecordedFrame, asText: boolean): void {
    this.#socket.send(frame, { binary: !asText })
  }

  /** Asks with a heartbeat: what the server had to say before its answer has come when that comes. */
  askBarrier(): void {
    const ref = `${BARRIER}${++this.#barriersSent}`
    this.#socket.send(
      this.#version === '2.0.0'
        ? JSON.stringify([null, ref, 'phoenix', 'heartbeat', {}])
        : JSON.stringify({ topic: 'phoenix', event: 'heartbeat', payload: {}, ref }),
    )
  }

  close(code: number): void {
    this.#socket.close(code)
  }

  terminate(): void {
    this.#socket.terminate()
  }

  #received(data: Buffer, binary: boolean): void {
    const frame = binary ? data : data.toString()
    const envelope = binary || data.length > 1000 ? null : envelopeOf(frame)
    if (envelope?.topic === 'phoenix' && envelope.ref.startsWith(BARRIER)) {
      this.#barriersAnswered = Number(envelope.ref.slice(BARRIER.length))
      this.#events.changed()
    } else this.#events.frame(frame)
  }

  #become(state: ConnectionState): void {
    this.#state = state
    this.#events.changed()
  }
}
