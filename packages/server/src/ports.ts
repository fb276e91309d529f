/**
 * The interfaces to everything outside the server. The server knows Postgres, other nodes, the clock and the network
 * only through these; `io/` and the packages `postgres` and `nats` implement them.
 */
export type * from './ports/admin.ts'
export type * from './ports/auth.ts'
export type * from './ports/changes.ts'
export type * from './ports/log.ts'
export type * from './ports/messages.ts'
export type * from './ports/observe.ts'
export type * from './ports/relay.ts'
export type * from './ports/runtime.ts'
export type * from './ports/topic.ts'
