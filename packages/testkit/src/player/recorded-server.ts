import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { decodeClientFrame, type ClientFrame, type Version } from '@tidewire/protocol'
import { WebSocketServer, type WebSocket } from 'ws'
import type { RecordedFrame } from '../recording/transcript.ts'

/** A frame of ours that stands where the recorded client sent one. */
interface Counterpart {
  readonly joinRef: string | null
  readonly ref: string | null
}

/**
 * The recorded server, played to a real client: it says what was recorded, with the refs that this client gave its
 * pushes. Sockets are distinguished by their path, `/<client>/websocket`.
 */
export class TranscriptServer {
  readonly #http: Server = createServer()
  readonly #sockets = new Map<string, { readonly socket: WebSocket; readonly version: Version; readonly heard: ClientFrame[] }>()
  readonly #refs = new Map<string, string | null>()
  readonly #joinRefs = new Map<string, string | null>()
  #wake: () => void = () => {}

  async listen(): Promise<string> {
    const server = new WebSocketServer({ server: this.#http, skipUTF8Validation: true })
    server.on('connection', (socket, request) => {
      const url = new URL(request.url ?? '/', 'http://localhost')
      const version: Version = url.searchParams.get('vsn') === '2.0.0' ? '2.0.0' : '1.0.0'
      const heard: ClientFrame[] = []
      this.#sockets.set(url.pathname.split('/')[1] ?? '', { socket, version, heard })
      socket.on('message', (data: Buffer, binary) => {
        const decoded = decodeClientFrame(version, data, binary)
        if (!decoded.ok) throw new Error(`our client sent what our server does not read: ${decoded.detail}`)
        if (decoded.value.topic === 'phoenix') socket.send(heartbeatReply(version, decoded.value.ref))
        else heard.push(decoded.value)
        this.#wake()
      })
      this.#wake()
    })
    await new Promise<void>((resolve) => this.#http.listen(0, '127.0.0.1', resolve))
    return `ws://127.0.0.1:${(this.#http.address() as AddressInfo).port}`
  }

  async close(): Promise<void> {
    for (const { socket } of this.#sockets.values()) socket.terminate()
    await new Promise((resolve) => this.#http.close(resolve))
  }

  connected(client: string): Promise<void> {
    return this.#until(`a socket of ${client}`, () => this.#sockets.has(client))
  }

  /** Waits for the client's own version of a recorded push, and learns its refs. */
  async hear(client: string, recorded: Counterpart & { readonly topic: string; readonly event: string }): Promise<ClientFrame> {
    const { heard } = this.#sockets.get(client)!
    const find = (): number => heard.findIndex(({ topic, event }) => topic === recorded.topic && event === recorded.event)
    await this.#until(`"${recorded.event}" on ${recorded.topic} from ${client}`, () => find() >= 0)
    const [frame] = heard.splice(find(), 1) as [ClientFrame]
    this.#refs.set(`${client} ${recorded.ref}`, text(frame.ref))
    this.#joinRefs.set(`${client} ${recorded.joinRef}`, text(frame.joinRef))
    return frame
  }

  /** False when it answers a push that this client did not make. */
  say(client: string, frame: RecordedFrame): boolean {
    const { socket, version } = this.#sockets.get(client)!
    const translated = typeof frame === 'string' ? this.#translated(client, version, frame) : frame
    if (translated === null) return false
    socket.send(translated)
    return true
  }

  #translated(client: string, version: Version, frame: string): string | null {
    if (version === '2.0.0') {
      const [joinRef, ref, topic, event, payload] = JSON.parse(frame) as [string | null, string | null, string, string, unknown]
      const refs = this.#named(client, event, joinRef, ref)
      return refs === null ? null : JSON.stringify([refs.joinRef, refs.ref, topic, event, payload])
    }
    const message = JSON.parse(frame) as { readonly ref: string | null; readonly event: string }
    const refs = this.#named(client, message.event, null, message.ref)
    // Written by hand in the recorded order; a number keeps its digits.
    return refs === null ? null : frame.replace(/^\{"ref":(null|"[^"]*")/, () => `{"ref":${JSON.stringify(refs.ref)}`)
  }

  /** The refs of this client for recorded ones; a close and an error name their join in `ref`. */
  #named(client: string, event: string, joinRef: string | null, ref: string | null): Counterpart | null {
    const closes = event === 'phx_close' || event === 'phx_error'
    const known = ref === null ? null : (closes ? this.#joinRefs : this.#refs).get(`${client} ${ref}`)
    const knownJoin = joinRef === null ? null : this.#joinRefs.get(`${client} ${joinRef}`)
    return known === undefined || knownJoin === undefined ? null : { ref: known, joinRef: knownJoin }
  }

  async #until(what: string, condition: () => boolean): Promise<void> {
    const deadline = performance.now() + 3_000
    while (!condition()) {
      const left = deadline - performance.now()
      if (left <= 0) throw new Error(`our client did not show ${what}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }
}

function heartbeatReply(version: Version, ref: unknown): string {
  const payload = { status: 'ok', response: {} }
  return JSON.stringify(
    version === '2.0.0' ? [null, ref, 'phoenix', 'phx_reply', payload] : { ref, event: 'phx_reply', payload, topic: 'phoenix' },
  )
}

function text(ref: string | number | null): string | null {
  return ref === null ? null : String(ref)
}
