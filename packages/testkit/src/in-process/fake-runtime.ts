import type { TimerHandle } from '@tidewire/protocol'
import type { HttpAnswer, HttpRequest, Runtime, PageLifecycle, WebSocketLike, WebSocketLikeConstructor } from '@tidewire/client'

interface FakeTimer {
  readonly atMs: number
  readonly run: () => void
}

/** One end of a WebSocket whose other end is the test. */
export class FakeSocket implements WebSocketLike {
  readyState = 0
  binaryType = 'blob'
  onopen: ((event: never) => unknown) | null = null
  onmessage: ((event: never) => unknown) | null = null
  onclose: ((event: never) => unknown) | null = null
  onerror: ((event: never) => unknown) | null = null
  /** Frames that the client sent and the test has not taken yet. */
  sent: (string | Uint8Array)[] = []
  /** Set by `close`: what the client asked for. */
  closing: { readonly code: number | undefined; readonly reason: string | undefined } | null = null
  /** Called with each frame; without it frames stay in `sent`. */
  onSent: ((frame: string | Uint8Array) => void) | null = null
  readonly url: string

  constructor(url: string) {
    this.url = url
  }

  send(data: string | ArrayBufferLike | ArrayBufferView): void {
    if (this.readyState !== 1) throw new Error('the socket is not open')
    const frame =
      typeof data === 'string'
        ? data
        : ArrayBuffer.isView(data)
          ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice()
          : new Uint8Array(data).slice()
    this.sent.push(frame)
    this.onSent?.(frame)
  }

  close(code?: number, reason?: string): void {
    if (this.readyState >= 2) return
    this.readyState = 2
    this.closing = { code, reason }
  }

  open(): void {
    if (this.readyState !== 0) return
    this.readyState = 1
    call(this.onopen, {})
  }

  /** A frame from the server: text, bytes, or a value that is sent as JSON. */
  receive(frame: unknown): void {
    if (this.readyState === 3) return
    const data = typeof frame === 'string' ? frame : frame instanceof Uint8Array ? frame.slice().buffer : JSON.stringify(frame)
    call(this.onmessage, { data })
  }

  /** The connection ends; 1006 is how a broken one looks. */
  drop(code = 1006, reason = ''): void {
    if (this.readyState === 3) return
    this.readyState = 3
    call(this.onclose, { code, reason, wasClean: code === 1000 })
  }

  /** The text frames that were sent, parsed. */
  get messages(): unknown[] {
    return this.sent.filter((frame) => typeof frame === 'string').map((frame) => JSON.parse(frame) as unknown)
  }
}

/** A platform in memory: the clock stands until it is moved, randomness is seeded, sockets end in the test. */
export class FakeRuntime implements Runtime {
  readonly sockets: FakeSocket[] = []
  readonly errors: Error[] = []
  readonly warnings: string[] = []
  readonly requests: HttpRequest[] = []
  /** Answers HTTP; a thrown error rejects. */
  answer: (request: HttpRequest) => HttpAnswer | Promise<HttpAnswer> = () => ({ status: 202, statusText: 'Accepted', body: '' })
  /** Replace it to make sockets scarce or late. */
  webSocket: () => WebSocketLikeConstructor | Promise<WebSocketLikeConstructor>
  /** Called with each socket as it is made. */
  onSocket: ((socket: FakeSocket) => void) | null = null
  readonly #timers = new Set<FakeTimer>()
  readonly #watchers = new Set<(what: PageLifecycle) => void>()
  #nowMs = 1_700_000_000_000
  #seed: number

  constructor(seed = 1) {
    this.#seed = seed >>> 0 || 1
    const made = (socket: FakeSocket): void => {
      this.sockets.push(socket)
      this.onSocket?.(socket)
    }
    const Class = class extends FakeSocket {
      constructor(url: string | URL) {
        super(String(url))
        made(this)
      }
    }
    this.webSocket = () => Class
  }

  nowMs(): number {
    return this.#nowMs
  }

  random(): number {
    // mulberry32
    this.#seed = (this.#seed + 0x6d2b79f5) >>> 0
    let t = this.#seed
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }

  setTimer(run: () => void, afterMs: number): TimerHandle {
    const timer = { atMs: this.#nowMs + afterMs, run }
    this.#timers.add(timer)
    return { cancel: () => void this.#timers.delete(timer) }
  }

  async http(request: HttpRequest): Promise<HttpAnswer> {
    this.requests.push(request)
    return this.answer(request)
  }

  report(error: Error): void {
    this.errors.push(error)
  }

  warn(message: string): void {
    this.warnings.push(message)
  }

  watch(changed: (what: PageLifecycle) => void): () => void {
    this.#watchers.add(changed)
    return () => this.#watchers.delete(changed)
  }

  workerTimers(): never {
    throw new Error('there are no workers here')
  }

  /** Events of the page and the network around the client. */
  happen(what: PageLifecycle): void {
    for (const watcher of [...this.#watchers]) watcher(what)
  }

  /** The newest socket. */
  get socket(): FakeSocket {
    const socket = this.sockets.at(-1)
    if (socket === undefined) throw new Error('no socket was made')
    return socket
  }

  get armedTimers(): number {
    return this.#timers.size
  }

  get watchers(): number {
    return this.#watchers.size
  }

  /** Moves the clock, running what falls due in its order, and lets promises settle in between. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms
    await settle()
    for (;;) {
      let next: FakeTimer | undefined
      for (const timer of this.#timers) if (timer.atMs <= endMs && (next === undefined || timer.atMs < next.atMs)) next = timer
      if (next === undefined) break
      this.#timers.delete(next)
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      next.run()
      await settle()
    }
    this.#nowMs = endMs
  }

  /** The clock jumps, as after sleep: nothing runs until the next `advance`. */
  jump(ms: number): void {
    this.#nowMs += ms
  }
}

/** Lets everything that waits for promises go on. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve()
}

function call(handler: ((event: never) => unknown) | null, event: unknown): void {
  handler?.(event as never)
}
