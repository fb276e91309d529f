import type { JsonObject } from '@tidewire/protocol'
import { changeEntries } from '../listen/change-bindings.ts'
import type { RealtimeChannelOptions } from './channel-options.ts'
import type { Listeners } from '../listen/listeners.ts'

/** Servers hold the join reply back this long when asked to wait for the changes subscription, and some time for errors. */
const WAIT_TIMEOUT_MS = 15_000
const WAIT_GRACE_MS = 10_000

/** The payload of a join. `position` is that of the last Postgres change, if there was one. */
export function joinPayload(
  { broadcast, presence, private: isPrivate, postgres_changes_options: options }: RealtimeChannelOptions['config'],
  listeners: Listeners,
  token: string | null,
  position: string | null,
): JsonObject {
  const changes = listeners.of('postgres_changes')
  // Other servers ignore keys that they do not know.
  const resume = changes.length > 0 ? { positions: true, ...(position !== null && { since: position }) } : undefined
  return {
    config: {
      broadcast,
      presence: { ...presence, enabled: presence?.enabled === true || listeners.of('presence').length > 0 },
      postgres_changes: changeEntries(changes),
      private: isPrivate,
      ...((resume ?? options) && { postgres_changes_options: { ...options, ...resume } }),
    },
    ...(token !== null && { access_token: token }),
  }
}

/** How long the reply to a join may take: `timeoutMs`, or longer where the server was asked to wait for the changes. */
export function joinTimeoutMs(
  { postgres_changes_options: options }: RealtimeChannelOptions['config'],
  hasChanges: boolean,
  timeoutMs: number,
): number {
  const { wait, timeout: waitMs = WAIT_TIMEOUT_MS } = options ?? {}
  return Math.max(timeoutMs, wait === true && hasChanges ? waitMs + WAIT_GRACE_MS : 0)
}
