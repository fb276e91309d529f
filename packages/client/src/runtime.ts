import type { RealtimeError, TimerPort } from '@tidewire/protocol'

/** A WebSocket as the client needs it; the browser's and `ws` fit. */
export interface WebSocketLike {
  readonly readyState: number
  binaryType?: string
  onopen: ((event: never) => unknown) | null
  onmessage: ((event: never) => unknown) | null
  onclose: ((event: never) => unknown) | null
  onerror: ((event: never) => unknown) | null
  send(data: string | ArrayBufferLike | ArrayBufferView): void
  close(code?: number, reason?: string): void
}

/** The class of such sockets, as `transport` takes it. */
export interface WebSocketLikeConstructor {
  new (address: string | URL, subprotocols?: string | string[]): WebSocketLike
}

/** A POST where there is a body, else a GET; an answer later than `timeoutMs` is none. */
export interface HttpRequest {
  readonly url: string
  readonly headers?: { readonly [name: string]: string }
  readonly body?: string | ArrayBufferLike | ArrayBufferView
  readonly timeoutMs: number
}

/** The answer to it, whatever its status. `body` is empty where it was taken. */
export interface HttpAnswer {
  readonly status: number
  readonly statusText: string
  readonly body: string
}

/** An event of the page: `wake` asks for a check of the connection, `freeze` says that timers and sockets stop here. */
export type PageLifecycle = 'wake' | 'freeze'

/** Everything the client takes from the platform. One implementation is in `io/`, another in the tests. */
export interface Runtime extends TimerPort {
  nowMs(): number
  /** In [0, 1). */
  random(): number
  /** The platform's WebSocket, or a promise of one that must be loaded first. Rejects or throws when there is none. */
  webSocket(): WebSocketLikeConstructor | Promise<WebSocketLikeConstructor>
  /** Rejects with a RealtimeError: `timeout`, or `http-failed` when no answer came. Never leaves a timer behind. */
  http(request: HttpRequest, fetch: typeof globalThis.fetch | undefined): Promise<HttpAnswer>
  /** Reports a fault that has no caller: a listener that threw. */
  report(error: RealtimeError): void
  warn(message: string): void
  /** Watches page and network; returns the function that stops it. */
  watch(changed: (what: PageLifecycle) => void): () => void
  /** Timers of a worker, which browsers do not slow down in hidden pages. Throws when there are no workers. */
  workerTimers(options: { readonly url: string | undefined; readonly failed: (cause: unknown) => void }): WorkerTimers
}

/** Timers that a worker keeps. */
export interface WorkerTimers extends TimerPort {
  readonly worker: unknown
  /** Ends the worker; timers that are set go on without it. */
  stop(): void
}
