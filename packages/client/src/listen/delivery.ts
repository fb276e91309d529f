/** Delivers the messages of a channel to its listeners. Malformed messages are ignored. */
import { isJsonObject, type JsonObject, type PostgresChangesPayload } from '@tidewire/protocol'
import { wantsChange } from './change-bindings.ts'
import { toChangePayload } from './change-values.ts'
import type { Listeners } from './listeners.ts'
import type { BigNumbers } from '../options.ts'
import type { PresenceEvent } from './payloads.ts'
import { validated, type Schemas } from './schema.ts'

/** Returns a promise when a validator takes its time. `refuse` gets what a validator found wrong. */
export function deliverBroadcast(
  listeners: Listeners,
  payload: unknown,
  schemas: Schemas,
  refuse: (event: string, fault: string) => void,
): void | Promise<void> {
  const event = isJsonObject(payload) ? payload['event'] : null
  const schema = typeof event === 'string' && isOwn(schemas, event) ? schemas[event] : undefined
  if (schema === undefined) return listeners.emit('broadcast', event, payload)
  const message = payload as JsonObject
  return validated(
    schema,
    message['payload'],
    (valid) => listeners.emit('broadcast', event, { ...message, payload: valid }),
    (fault) => refuse(event as string, fault),
  )
}

export function deliverPresence(listeners: Listeners, events: readonly PresenceEvent[]): void {
  for (const event of events) {
    // Updates are also reported as a join and a leave; listeners of `*` get these.
    if (event.event !== 'update') listeners.emit('presence', event.event, event)
    else for (const binding of listeners.of('presence')) if (binding.event === 'update') listeners.notify(binding, event)
  }
}

/** The change in a payload, if it has the shape of one. */
export function readChange(payload: unknown): PostgresChangesPayload | undefined {
  const isChange =
    isJsonObject(payload) && Array.isArray(payload['ids']) && isJsonObject(payload['data']) && typeof payload['data']['type'] === 'string'
  return isChange ? (payload as unknown as PostgresChangesPayload) : undefined
}

export function deliverChange(listeners: Listeners, { ids, data }: PostgresChangesPayload, bigNumbers: BigNumbers): void {
  const type = data.type.toLowerCase()
  const wanted = listeners.of('postgres_changes').filter((binding) => wantsChange(binding, ids, type))
  if (wanted.length === 0) return
  const change = toChangePayload(data, bigNumbers)
  for (const binding of wanted) listeners.notify(binding, change)
}

/** Not `Object.hasOwn`, which came after ES2020. */
function isOwn(object: object, key: string): boolean {
  return Object.prototype.hasOwnProperty.call(object, key)
}
