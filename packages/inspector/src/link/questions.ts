/** A message of the admin channel on its way out. */
export interface Outgoing {
  readonly event: string
  readonly payload: object
  readonly ref: string
  readonly join_ref: string
}

/** The server refused. */
export class Refusal extends Error {}

const ANSWER_WITHIN_MS = 15_000

interface Waiting {
  resolve(response: unknown): void
  reject(error: Error): void
}

/** Pushes that wait for their replies, by ref. Each settles once: by its reply, too late, or when the connection is lost. */
export class Questions {
  readonly #send: (message: Outgoing) => void
  readonly #waiting = new Map<string, Waiting>()
  #joinRef = ''
  #lastRef = 0

  constructor(send: (message: Outgoing) => void) {
    this.#send = send
  }

  /** Later pushes belong to this join. */
  join(payload: object): Promise<unknown> {
    this.#joinRef = `admin-${this.#lastRef + 1}`
    return this.ask('phx_join', payload)
  }

  ask(event: string, payload: object): Promise<unknown> {
    const ref = this.push(event, payload)
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => this.#take(ref)?.reject(new Error('The server did not answer in time.')), ANSWER_WITHIN_MS)
      const settled = (): void => clearTimeout(late)
      this.#waiting.set(ref, {
        resolve: (response) => (settled(), resolve(response)),
        reject: (error) => (settled(), reject(error)),
      })
    })
  }

  /** Sends, and does not wait for the reply. */
  push(event: string, payload: object): string {
    const ref = `admin-${++this.#lastRef}`
    this.#send({ event, payload, ref, join_ref: this.#joinRef })
    return ref
  }

  answered(ref: string, reply: unknown): void {
    const { status, response } = reply as { readonly status?: unknown; readonly response?: unknown }
    const waiting = this.#take(ref)
    if (status === 'ok') return waiting?.resolve(response)
    const reason = (response as { readonly reason?: unknown } | null | undefined)?.reason
    waiting?.reject(new Refusal(typeof reason === 'string' ? reason : 'The server refused without saying why.'))
  }

  failAll(reason: string): void {
    for (const ref of [...this.#waiting.keys()]) this.#take(ref)?.reject(new Error(reason))
  }

  #take(ref: string): Waiting | undefined {
    const waiting = this.#waiting.get(ref)
    this.#waiting.delete(ref)
    return waiting
  }
}
