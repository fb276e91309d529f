import { RealtimeError } from '@tidewire/protocol'

export type ListenType = 'broadcast' | 'presence' | 'postgres_changes' | 'system'

export interface Binding {
  type: string
  filter: { readonly [key: string]: unknown }
  callback: (payload: never) => void
  /** The server's number for a `postgres_changes` filter, once joined. */
  id?: number | string
}

/**
 * Who listens to what on one channel, in the order of registration. Lists are replaced, never changed, so that a
 * listener may add or remove others while a message is delivered.
 */
export class Listeners {
  readonly bindings: { [type: string]: Binding[] } = Object.create(null) as { [type: string]: Binding[] }
  readonly #report: (error: RealtimeError) => void

  /** `report` hears of listeners that throw; the others still get the message. */
  constructor(report: (error: RealtimeError) => void) {
    this.#report = report
  }

  of(type: string): readonly Binding[] {
    return this.bindings[type] ?? []
  }

  add(binding: Binding): void {
    this.bindings[binding.type] = [...this.of(binding.type), binding]
  }

  remove(type: string, matches: (binding: Binding) => boolean): void {
    this.bindings[type] = this.of(type).filter((binding) => !matches(binding))
  }

  emit(type: string, payload: unknown, matches: (binding: Binding) => boolean): void {
    for (const binding of this.of(type)) if (matches(binding)) this.call(type, () => binding.callback(payload as never))
  }

  /** Calls a piece of the user's code; nothing that it does reaches us. */
  call(what: string, run: () => unknown): void {
    try {
      const result = run()
      // An async listener fails later, in a promise that nobody else looks at.
      if (result instanceof Promise) result.catch((cause: unknown) => this.#threw(what, cause))
    } catch (cause) {
      this.#threw(what, cause)
    }
  }

  #threw(what: string, cause: unknown): void {
    this.#report(new RealtimeError('listener-threw', `A "${what}" listener threw; the other listeners got the message.`, { cause }))
  }
}

/** Event names match without regard to case; `*` is any. */
export function matchesEvent(wanted: unknown, event: unknown): boolean {
  return wanted === '*' || (typeof wanted === 'string' && typeof event === 'string' && wanted.toLowerCase() === event.toLowerCase())
}
