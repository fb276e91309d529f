import { RealtimeError } from '@tidewire/protocol'
import { addressOf } from './endpoint.ts'
import { handshakeLoss, type Loss } from './loss.ts'
import type { RealtimeClientOptions } from '../options.ts'
import type { Runtime, WebSocketLike } from '../runtime.ts'

/** `readyState` of a WebSocket that is open; those after it are on their way to the end. */
const OPEN = 1

export interface TransportPort {
  readonly url: string
  readonly given: Pick<RealtimeClientOptions, 'transport' | 'fetch'>
  readonly options: { readonly timeoutMs: number }
  readonly runtime: Pick<Runtime, 'webSocket' | 'http'>
  /** The socket is open, or it is gone or cannot be made. */
  drive(event: { readonly type: 'opened' } | { readonly type: 'closed'; readonly loss: Loss }): void
  received(data: unknown): void
  log(kind: string, text: string, data?: unknown): void
}

/** The current socket, with the differences of the platforms. Events of a socket that was dropped are ignored. */
export class Transport {
  readonly #port: TransportPort
  #socket: WebSocketLike | null = null
  /** Loading the WebSocket may outlast the attempt that it was loaded for. */
  #attempt = 0
  #wasOpen = false
  #wasProbed = false

  constructor(port: TransportPort) {
    this.#port = port
  }

  /** Opens a socket: at once, unless the WebSocket must be loaded first. */
  async open(): Promise<void> {
    const attempt = ++this.#attempt
    const { given, runtime } = this.#port
    try {
      const found = given.transport ?? runtime.webSocket()
      const SocketClass = found instanceof Promise ? await found : found
      if (this.#attempt === attempt) this.#listenTo(new SocketClass(this.#port.url.replace(/^http/i, 'ws')))
    } catch (cause) {
      if (this.#attempt !== attempt) return
      this.#port.log('error', 'WebSocket not available', cause)
      const reason = `WebSocket not available: ${cause instanceof Error ? cause.message : String(cause)}`
      this.#port.drive({ type: 'closed', loss: { reason, wasClean: false, fault: 'no-transport' } })
    }
  }

  /** Throws a RealtimeError when the socket does not take it. */
  send(data: string | ArrayBufferLike | ArrayBufferView): void {
    const socket = this.#socket
    try {
      // A closing socket takes a message and drops it.
      if (socket === null || socket.readyState > OPEN) throw new Error('it is closing')
      socket.send(data)
    } catch (cause) {
      throw new RealtimeError('connection-lost', 'The socket did not take the message.', { cause, retryable: true })
    }
  }

  /** Closes in an orderly way, and goes on listening for the end. */
  close(code?: number, reason: string = ''): void {
    const socket = this.#socket
    try {
      if (code === undefined) socket?.close()
      else socket?.close(code, reason)
    } catch {
      // A code that the platform does not let us send must not keep the socket open.
      socket?.close()
    }
  }

  drop(reason: string): void {
    const socket: (WebSocketLike & { terminate?(): void }) | null = this.#socket
    this.#attempt++
    if (socket === null) return
    socket.onopen = socket.onmessage = socket.onclose = null
    // `ws` throws the errors of a dropped socket at the process unless they have a listener.
    socket.onerror = () => {}
    // A browser waits for the other side's goodbye in the background; `ws` would keep the process for it.
    if (typeof socket.terminate === 'function') socket.terminate()
    else this.close(1000, reason)
    this.#socket = null
  }

  #listenTo(socket: WebSocketLike): void {
    const port = this.#port
    let fault = ''
    let isOpen = false
    this.#socket = socket
    socket.binaryType = 'arraybuffer'
    socket.onopen = () => {
      isOpen = this.#wasOpen = true
      port.drive({ type: 'opened' })
    }
    socket.onmessage = ({ data }: { readonly data: unknown }) => port.received(data)
    socket.onerror = (event: { readonly message?: unknown }) => {
      // Browsers give no reason; `ws` does.
      if (typeof event.message === 'string') fault = event.message
      port.log('transport', 'error', event)
    }
    socket.onclose = ({ code = 1006, reason = '', wasClean = false }: { code?: number; reason?: string; wasClean?: boolean }) => {
      this.#socket = null
      const loss = { code, reason: reason || fault, wasClean }
      const status = /response: (\d+)$/.exec(fault)
      if (isOpen || (this.#wasOpen && status === null)) port.drive({ type: 'closed', loss })
      else void this.#explain(loss, status === null ? undefined : Number(status[1]))
    }
  }

  /** A handshake failed. Browsers do not say why, so the first time the same address is asked over HTTP. */
  async #explain(loss: Loss, status: number | null | undefined): Promise<void> {
    const attempt = this.#attempt
    if (status === undefined && !this.#wasProbed) {
      this.#wasProbed = true
      status = await this.#probe()
    }
    if (this.#attempt !== attempt) return
    const explained = status === undefined ? loss : handshakeLoss(loss, status, addressOf(this.#port.url), !this.#wasOpen)
    this.#port.drive({ type: 'closed', loss: explained })
  }

  /** The status of the socket's address over HTTP; `null` when nothing answers. Never rejects. */
  #probe(): Promise<number | null> {
    const { given, options, runtime, url } = this.#port
    return runtime.http({ url: url.replace(/^ws/i, 'http'), timeoutMs: options.timeoutMs }, given.fetch).then(
      ({ status }) => status,
      () => null,
    )
  }
}
