import { isJsonObject, RealtimeError, type JsonObject, type Message, type PostgresChangesPayload } from '@tidewire/protocol'
import { wantsChange } from './change-bindings.ts'
import { toChangePayload } from './change-values.ts'
import type { Listeners } from './listeners.ts'
import type { BigNumbers } from '../options.ts'
import type { PresenceEvent } from './payloads.ts'
import { validated, Validation, type Schemas } from './schema.ts'

/** The channel that received a message. */
export interface ReceivingChannel {
  readonly topic: string
  readonly listeners: Listeners
  readonly schemas: Schemas
  readonly presence: { applyState(payload: unknown): PresenceEvent[]; applyDiff(payload: unknown): PresenceEvent[] }
  readonly host: { readonly options: { readonly bigNumbers: BigNumbers }; report(error: RealtimeError): void }
}

/** Delivers the broadcasts, presences and changes of a channel to its listeners. Ignores malformed ones, and other messages. */
export class Delivery {
  readonly #channel: ReceivingChannel
  readonly #validation = new Validation()
  readonly #recovery: { goOnFrom(position: unknown): void }

  constructor(channel: ReceivingChannel, recovery: { goOnFrom(position: unknown): void }) {
    this.#channel = channel
    this.#recovery = recovery
  }

  deliver({ event, payload }: Message): void {
    const { presence } = this.#channel
    switch (event) {
      case 'broadcast':
        return this.#validation.inOrder(() => this.#broadcast(payload))
      case 'presence_state':
        return this.#presence(presence.applyState(payload))
      case 'presence_diff':
        return this.#presence(presence.applyDiff(payload))
      case 'postgres_changes':
        if (isChange(payload)) this.#change(payload)
    }
  }

  /** Returns a promise when a validator takes its time. */
  #broadcast(payload: unknown): void | Promise<void> {
    const { listeners, schemas, topic, host } = this.#channel
    const event = isJsonObject(payload) ? payload['event'] : null
    const schema = typeof event === 'string' ? schemas[event] : undefined
    if (schema === undefined) return listeners.emit('broadcast', event, payload)
    const message = payload as JsonObject
    return validated(
      schema,
      message['payload'],
      (valid) => listeners.emit('broadcast', event, { ...message, payload: valid }),
      (fault) => host.report(new RealtimeError('malformed-frame', `A "${event as string}" broadcast on ${topic} was dropped: ${fault}`)),
    )
  }

  #presence(events: readonly PresenceEvent[]): void {
    const { listeners } = this.#channel
    for (const event of events) {
      // Updates are also reported as a join and a leave; listeners of `*` get these.
      if (event.event !== 'update') listeners.emit('presence', event.event, event)
      else for (const binding of listeners.of('presence')) if (binding.event === 'update') listeners.notify(binding, event)
    }
  }

  #change({ ids, data }: PostgresChangesPayload): void {
    const { listeners, host } = this.#channel
    this.#recovery.goOnFrom(data.position)
    const type = data.type.toLowerCase()
    const wanted = listeners.of('postgres_changes').filter((binding) => wantsChange(binding, ids, type))
    if (wanted.length === 0) return
    const change = toChangePayload(data, host.options.bigNumbers)
    for (const binding of wanted) listeners.notify(binding, change)
  }
}

function isChange(payload: unknown): payload is PostgresChangesPayload & JsonObject {
  return (
    isJsonObject(payload) && Array.isArray(payload['ids']) && isJsonObject(payload['data']) && typeof payload['data']['type'] === 'string'
  )
}
