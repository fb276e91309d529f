import type { ChangeEvent, ChangeFilter, RealtimeChannel } from '@tidewire/client'

/** Messages of a channel to listen to. `filter` of a change is a text already. */
export type Wanted =
  | { readonly type: 'broadcast'; readonly event: string }
  | { readonly type: 'presence' }
  | { readonly type: 'rejoin' }
  | { readonly type: 'postgres_changes'; readonly event: ChangeEvent | '*'; readonly filter: ChangeFilter }

export type Handler = (payload: never) => unknown

/** One filter and all its listeners: the client takes equal filters once. */
export class Listening {
  readonly wanted: Wanted
  readonly handlers: Set<Handler> = new Set()
  #bound: AbortController | null = null

  constructor(wanted: Wanted) {
    this.wanted = wanted
  }

  get isBound(): boolean {
    return this.#bound !== null
  }

  /** Whether it is part of the join. */
  get isPartOfJoin(): boolean {
    return this.wanted.type === 'presence' || this.wanted.type === 'postgres_changes'
  }

  bind(channel: RealtimeChannel): void {
    const { wanted } = this
    this.#bound = new AbortController()
    const { signal } = this.#bound
    const emit = (payload: unknown): void => this.emit(payload)
    if (wanted.type === 'broadcast') channel.onBroadcast(wanted.event, emit, { signal })
    else if (wanted.type === 'presence') channel.onPresenceSync(() => emit(undefined), { signal })
    else if (wanted.type === 'rejoin') channel.onGap(emit, { signal })
    else channel.onPostgresChanges(wanted.event, wanted.filter, emit, { signal })
  }

  unbind(): void {
    this.#bound?.abort()
    this.#bound = null
  }

  /** Each handler gets the payload, also when another one throws. */
  emit(payload: unknown): void {
    for (const handler of [...this.handlers])
      try {
        const result = handler(payload as never)
        if (result instanceof Promise) result.catch((cause: unknown) => this.#threw(cause))
      } catch (cause) {
        this.#threw(cause)
      }
  }

  #threw(cause: unknown): void {
    console.error(`A "${this.wanted.type}" handler threw; the other handlers got the message.`, cause)
  }
}
