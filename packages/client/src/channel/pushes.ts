import { RealtimeError, type TimerPort } from '@tidewire/protocol'
import { waiter, type Waiter, type Waiting } from './waiter.ts'

export interface Push extends Waiting {
  readonly event: string
  readonly payload: unknown
}

interface PendingPush extends Push, Waiter<unknown> {
  ref?: string
}

/** Pushes that wait to be sent; beyond this the oldest is rejected. */
const MOST_BUFFERED = 100

/**
 * The pushes of one channel that await a reply. Each settles exactly once: by its reply, by its timeout, or by the end of
 * the join that it was sent on.
 */
export class Pushes {
  readonly #sent = new Map<string, PendingPush>()
  readonly #buffer = new Set<PendingPush>()
  readonly #timers: TimerPort
  /** Writes a push and returns its ref. Throws a RealtimeError when it cannot be written. */
  readonly #write: (push: Push) => string

  constructor(timers: TimerPort, write: (push: Push) => string) {
    this.#timers = timers
    this.#write = write
  }

  /** Resolves with the `response` of an `ok` reply. Rejects with a RealtimeError. */
  push(push: Push, now: boolean): Promise<unknown> {
    const late = `No reply to "${push.event}" within ${push.timeoutMs} ms.`
    const waiting: PendingPush = {
      ...push,
      ...waiter<unknown>(this.#timers, push, late, () => {
        this.#buffer.delete(waiting)
        if (waiting.ref !== undefined) this.#sent.delete(waiting.ref)
      }),
    }
    if (push.signal?.aborted === true) return waiting.promise
    if (now) this.#send(waiting)
    else this.#hold(waiting)
    return waiting.promise
  }

  /** Sends the pushes that were held back, in order. */
  flush(): void {
    for (const waiting of this.#buffer) this.#send(waiting)
  }

  /** Settles the push of this reply. Returns why it was refused where nothing waits for it. */
  reply(ref: string, ok: boolean, response: unknown): string | undefined {
    const waiting = this.#sent.get(ref)
    const text = ok ? undefined : `The server refused "${waiting?.event ?? 'a message'}": ${reasonOf(response)}`
    waiting?.settle(text === undefined ? null : new RealtimeError('push-refused', text, { cause: response }), response)
    return waiting === undefined ? text : undefined
  }

  /** Rejects the pushes that were sent: no reply can come any more. Held ones stay. */
  failSent(error: RealtimeError): void {
    for (const waiting of this.#sent.values()) waiting.settle(error)
  }

  failAll(error: RealtimeError): void {
    this.failSent(error)
    for (const waiting of this.#buffer) waiting.settle(error)
  }

  /** Whether a push of this event waits to be sent. */
  holds(event: string): boolean {
    return [...this.#buffer].some((waiting) => waiting.event === event)
  }

  #send(waiting: PendingPush): void {
    this.#buffer.delete(waiting)
    try {
      waiting.ref = this.#write(waiting)
      this.#sent.set(waiting.ref, waiting)
    } catch (error) {
      waiting.settle(error as RealtimeError)
    }
  }

  #hold(waiting: PendingPush): void {
    this.#buffer.add(waiting)
    const [oldest] = this.#buffer
    if (this.#buffer.size > MOST_BUFFERED)
      oldest!.settle(new RealtimeError('buffer-overflow', `More than ${MOST_BUFFERED} pushes wait for the join; dropped the oldest.`))
  }
}

/** The reason in an error response: `{ reason }`, a bare string, or nothing. */
function reasonOf(response: unknown): string {
  const { reason = response } = Object(response) as { readonly reason?: unknown }
  return typeof reason === 'string' ? reason : 'no reason given'
}
