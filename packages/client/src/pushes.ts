import { RealtimeError } from '@tidewire/protocol'
import type { Runtime } from './runtime.ts'

export interface Push {
  readonly event: string
  readonly payload: unknown
  readonly timeoutMs: number
}

interface Waiting extends Push {
  resolve(response: unknown): void
  reject(error: RealtimeError): void
  stopTimer(): void
}

/** What waits to be sent: beyond this the oldest is given up. */
const MOST_BUFFERED = 100

/**
 * The pushes of one channel that somebody waits for. Each settles exactly once: by its reply, by its time running out,
 * or by the end of what it was sent on. A push that nobody waits for never comes here.
 */
export class Pushes {
  readonly #sent = new Map<string, Waiting>()
  #buffer: Waiting[] = []
  readonly #runtime: Pick<Runtime, 'setTimer'>
  /** Writes a push and returns its ref. Throws a RealtimeError when it cannot be written. */
  readonly #write: (push: Push) => string

  constructor(runtime: Pick<Runtime, 'setTimer'>, write: (push: Push) => string) {
    this.#runtime = runtime
    this.#write = write
  }

  /** Resolves with the `response` of an `ok` reply. Rejects with a RealtimeError. */
  push(push: Push, now: boolean): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { ...push, resolve, reject, stopTimer: () => {} }
      waiting.stopTimer = this.#runtime.setTimer(push.timeoutMs, () => {
        this.#forget(waiting)
        reject(new RealtimeError('timeout', `No reply to "${push.event}" within ${push.timeoutMs} ms.`, { retryable: true }))
      })
      if (now) this.#send(waiting)
      else this.#hold(waiting)
    })
  }

  /** What was held back goes out, in its order. */
  flush(): void {
    const held = this.#buffer
    this.#buffer = []
    for (const waiting of held) this.#send(waiting)
  }

  /** Whether somebody waited for this reply. */
  reply(ref: string, ok: boolean, response: unknown): boolean {
    const waiting = this.#sent.get(ref)
    if (waiting === undefined) return false
    this.#sent.delete(ref)
    waiting.stopTimer()
    if (ok) waiting.resolve(response)
    else
      waiting.reject(new RealtimeError('push-refused', `The server refused "${waiting.event}": ${reasonOf(response)}`, { cause: response }))
    return true
  }

  /** No reply can come any more to what was sent. What is held back stays. */
  failSent(error: RealtimeError): void {
    const sent = [...this.#sent.values()]
    this.#sent.clear()
    for (const waiting of sent) fail(waiting, error)
  }

  failAll(error: RealtimeError): void {
    this.failSent(error)
    const held = this.#buffer
    this.#buffer = []
    for (const waiting of held) fail(waiting, error)
  }

  /** Whether a push of this event waits to be sent. */
  holds(event: string): boolean {
    return this.#buffer.some((waiting) => waiting.event === event)
  }

  get size(): number {
    return this.#sent.size + this.#buffer.length
  }

  #send(waiting: Waiting): void {
    try {
      this.#sent.set(this.#write(waiting), waiting)
    } catch (error) {
      fail(waiting, error as RealtimeError)
    }
  }

  #hold(waiting: Waiting): void {
    this.#buffer.push(waiting)
    if (this.#buffer.length > MOST_BUFFERED)
      fail(
        this.#buffer.shift()!,
        new RealtimeError('buffer-overflow', `More than ${MOST_BUFFERED} pushes wait for the channel to join; the oldest was given up.`),
      )
  }

  #forget(waiting: Waiting): void {
    this.#buffer = this.#buffer.filter((other) => other !== waiting)
    for (const [ref, other] of this.#sent) if (other === waiting) this.#sent.delete(ref)
  }
}

function fail(waiting: Waiting, error: RealtimeError): void {
  waiting.stopTimer()
  waiting.reject(error)
}

/** The reason in an error response: `{ reason }`, a bare string, or nothing. */
export function reasonOf(response: unknown): string {
  if (typeof response === 'string') return response
  const reason = (response as { readonly reason?: unknown } | null | undefined)?.reason
  return typeof reason === 'string' ? reason : 'no reason given'
}
