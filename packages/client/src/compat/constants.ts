/** The types of `on`. Like the constants below, a name that programs written for realtime-js use as a value and as a type. */
export const REALTIME_LISTEN_TYPES = {
  BROADCAST: 'broadcast',
  PRESENCE: 'presence',
  POSTGRES_CHANGES: 'postgres_changes',
  SYSTEM: 'system',
} as const
/** One of the types of `on`. */
export type REALTIME_LISTEN_TYPES = (typeof REALTIME_LISTEN_TYPES)[keyof typeof REALTIME_LISTEN_TYPES]

/** The events of `on('postgres_changes')`. */
export const REALTIME_POSTGRES_CHANGES_LISTEN_EVENT = { ALL: '*', INSERT: 'INSERT', UPDATE: 'UPDATE', DELETE: 'DELETE' } as const
/** One of the events of `on('postgres_changes')`. */
export type REALTIME_POSTGRES_CHANGES_LISTEN_EVENT =
  (typeof REALTIME_POSTGRES_CHANGES_LISTEN_EVENT)[keyof typeof REALTIME_POSTGRES_CHANGES_LISTEN_EVENT]

/** The events of `on('presence')` that realtime-js has; Tidewire has `update` too. */
export const REALTIME_PRESENCE_LISTEN_EVENTS = { SYNC: 'sync', JOIN: 'join', LEAVE: 'leave' } as const
/** One of the events of `on('presence')` that realtime-js has. */
export type REALTIME_PRESENCE_LISTEN_EVENTS = (typeof REALTIME_PRESENCE_LISTEN_EVENTS)[keyof typeof REALTIME_PRESENCE_LISTEN_EVENTS]

/** The statuses that the callback of `subscribe` gets. */
export const REALTIME_SUBSCRIBE_STATES = {
  SUBSCRIBED: 'SUBSCRIBED',
  TIMED_OUT: 'TIMED_OUT',
  CLOSED: 'CLOSED',
  CHANNEL_ERROR: 'CHANNEL_ERROR',
} as const
/** One of the statuses that the callback of `subscribe` gets. */
export type REALTIME_SUBSCRIBE_STATES = (typeof REALTIME_SUBSCRIBE_STATES)[keyof typeof REALTIME_SUBSCRIBE_STATES]

/** The values of a channel's `state`. */
export const REALTIME_CHANNEL_STATES = {
  closed: 'closed',
  errored: 'errored',
  joined: 'joined',
  joining: 'joining',
  leaving: 'leaving',
} as const
/** One of the values of a channel's `state`. */
export type REALTIME_CHANNEL_STATES = (typeof REALTIME_CHANNEL_STATES)[keyof typeof REALTIME_CHANNEL_STATES]
