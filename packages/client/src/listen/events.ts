import { RealtimeError } from '@tidewire/protocol'

/** The events that there are, in lower case as listeners are compared; of broadcasts there are any. */
const EVENTS: { readonly [type: string]: string } = {
  presence: 'sync, join, leave, update, *',
  postgres_changes: 'INSERT, UPDATE, DELETE, *',
}

/** Throws a RealtimeError for an event that will never come. */
export function checkEvent(type: string, event: unknown): void {
  const known = EVENTS[type]
  if (known === undefined || known.toLowerCase().split(', ').includes(String(event).toLowerCase())) return
  throw new RealtimeError('bad-argument', `There is no \`${type}\` event ${JSON.stringify(event)}; there are ${known}.`)
}
