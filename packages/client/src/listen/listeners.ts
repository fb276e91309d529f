import { RealtimeError } from '@tidewire/protocol'

export interface Binding {
  type: string
  filter: { readonly [key: string]: unknown }
  callback: (payload: never) => void
  /** The event wanted, in lower case: names match without regard to it. `*` is any; undefined, too, for types without events. */
  event?: string | undefined
  /** The server's number for a `postgres_changes` filter, once joined. */
  id?: number | string
}

/** Removes a binding's listener from its signal, which may live long. */
const letGo = new WeakMap<Binding, () => void>()

/**
 * The listeners of one channel by type, in the order of registration. Lists are replaced, never changed, so that a
 * listener may add or remove others while a message is delivered.
 */
export class Listeners {
  readonly bindings: { [type: string]: Binding[] } = Object.create(null) as { [type: string]: Binding[] }
  readonly #report: (error: RealtimeError) => void

  /** `report` gets the error of a listener that threw; the others still get the message. */
  constructor(report: (error: RealtimeError) => void) {
    this.#report = report
  }

  of(type: string): readonly Binding[] {
    return this.bindings[type] ?? []
  }

  /** Adds a listener until `remove`, or until `signal` aborts. */
  add(binding: Binding, signal?: AbortSignal): void {
    const { event } = binding.filter
    binding.event = typeof event === 'string' ? event.toLowerCase() : undefined
    this.bindings[binding.type] = [...this.of(binding.type), binding]
    if (signal === undefined) return
    const stop = (): void => this.remove(binding.type, (other) => other === binding)
    signal.addEventListener('abort', stop)
    letGo.set(binding, () => signal.removeEventListener('abort', stop))
  }

  remove(type: string, matches: (binding: Binding) => boolean): void {
    const all = this.of(type)
    this.bindings[type] = all.filter((binding) => !matches(binding))
    for (const binding of all.filter(matches)) letGo.get(binding)?.()
  }

  /** Calls the listeners of this event and those of all events. */
  emit(type: string, event: unknown, payload: unknown): void {
    const name = typeof event === 'string' ? event.toLowerCase() : null
    for (const binding of this.of(type)) if (binding.event === '*' || binding.event === name) this.notify(binding, payload)
  }

  notify(binding: Binding, payload: unknown): void {
    this.call(binding.type, () => binding.callback(payload as never))
  }

  call(what: string, run: () => unknown): void {
    callSafely(what, run, this.#report)
  }
}

/** Calls the user's code. What it throws, now or later, goes to `report`. */
export function callSafely(what: string, run: () => unknown, report: (error: RealtimeError) => void): void {
  try {
    const result = run()
    // An async listener fails later, in a promise that has no other handler.
    if (result instanceof Promise) result.catch((cause: unknown) => report(threw(what, cause)))
  } catch (cause) {
    report(threw(what, cause))
  }
}

function threw(what: string, cause: unknown): RealtimeError {
  return new RealtimeError('listener-threw', `A "${what}" listener threw; the others were called.`, { cause })
}
