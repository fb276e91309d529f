import type { ClientFrame, JoinRequest } from '@tidewire/protocol'
import type { Limits } from '../limits/limits.ts'
import type { ConnectionLimits } from './connection-limits.ts'
import { checkJoin } from './join-check.ts'
import { refuseJoin, type RefusingConnection } from './refusals.ts'

/** A connection that a client joins on. */
export interface JoiningConnection extends RefusingConnection {
  readonly channelCount: number
  readonly services: RefusingConnection['services'] & { readonly limits: Limits }
  closeForJoins(): void
}

/** The server, as a join sees it. */
export interface JoinHost {
  /** Whether a first channel of one more socket is within the limit of users. */
  mayJoin(): boolean
  /** True while the server shuts down. */
  readonly draining: boolean
}

/** Reads a join, and refuses one for which there may be no channel. `replaces`: a channel of this topic gives way to it. */
export function admitJoin(
  connection: JoiningConnection,
  frame: ClientFrame,
  { subTopic, replaces }: { readonly subTopic: string; readonly replaces: boolean },
  host: JoinHost,
  limits: ConnectionLimits,
): JoinRequest | null {
  const join = checkJoin(subTopic, frame.payload.kind === 'json' ? frame.payload.value : null, {
    draining: host.draining,
    privateOnly: limits.privateOnly,
    bounds: limits.join,
    channels: connection.channelCount,
    maxChannels: connection.services.limits.maxChannelsPerConnection,
    replaces,
    allowJoin: () => connection.rates.allowJoin(),
    allowUser: () => host.mayJoin(),
  })
  if (join.ok) return join.request
  refuseJoin(connection, frame, join)
  if (join.code === 'too-many-joins') connection.closeForJoins()
  return null
}
