import type { JsonObject } from '@tidewire/protocol'
import { changeEntries } from './change-bindings.ts'
import type { RealtimeChannelOptions } from './channel-options.ts'
import type { Listeners } from './listeners.ts'

/** What a join says. `position` is where the Postgres changes are to go on, if that is known. */
export function joinPayload(
  { broadcast, presence, private: isPrivate, postgres_changes_options: options }: RealtimeChannelOptions['config'],
  listeners: Listeners,
  token: string | null,
  position: string | null,
): JsonObject {
  const changes = listeners.of('postgres_changes')
  // Other servers pass over the keys that they do not know.
  const resume = changes.length > 0 ? { positions: true, ...(position === null ? {} : { since: position }) } : undefined
  return {
    config: {
      broadcast,
      presence: { ...presence, enabled: presence?.enabled === true || listeners.of('presence').length > 0 },
      postgres_changes: changeEntries(changes),
      private: isPrivate,
      ...((resume ?? options) && { postgres_changes_options: { ...options, ...resume } }),
    },
    ...(token === null ? {} : { access_token: token }),
  }
}
