import { changesFault, parseJoin, PERSIST_UNSUPPORTED, type JoinBounds, type JoinRequest } from '@tidewire/protocol'
import { legacyEntry } from '../channel/change-entries.ts'
import type { DecisionCode } from '../decision-code.ts'

/** The state of the socket and server that a join is checked against. */
export interface JoinConditions {
  readonly draining: boolean
  readonly privateOnly: boolean
  readonly bounds: JoinBounds
  /** How many channels the socket has, and how many it may have. */
  readonly channels: number
  readonly maxChannels: number
  /** The socket has a channel of this topic, and the join takes its place. */
  readonly replaces: boolean
  /** Counts the join. Whether it is within the limit of joins a second. */
  allowJoin(): boolean
  /** Whether one more socket may have channels. */
  allowUser(): boolean
}

export interface JoinRefusal {
  readonly ok: false
  readonly code: DecisionCode
  /** The text that the client gets. */
  readonly reason: string
  /** Whether a private channel was asked for, where that could be read. */
  readonly private?: boolean
}

export type JoinCheck = { readonly ok: true; readonly request: JoinRequest } | JoinRefusal

/** Checks a join before there is a channel for it: that the server takes joins, that the join can be read, and the limits of its socket. */
export function checkJoin(subTopic: string, payload: unknown, at: JoinConditions): JoinCheck {
  if (subTopic === '') return refuse('topic-name-required', 'TopicNameRequired: You must provide a topic name')
  if (at.draining) return refuse('restarting', 'RealtimeRestarting: Realtime is restarting, please standby')
  // Counted before the join is read: one that cannot be read counts, too.
  if (!at.allowJoin()) return refuse('too-many-joins', 'ClientJoinRateLimitReached: Too many joins per second')
  const request = parseJoin(payload, at.bounds)
  if (!request.ok) return refuse(request.code, request.reason)
  const fault = request.value.legacy ? changesFault([legacyEntry(subTopic)], at.bounds) : null
  if (fault !== null) return refuse(fault.code, fault.reason)
  const refuseRead = (code: DecisionCode, reason: string): JoinRefusal => ({ ...refuse(code, reason), private: request.value.private })
  if (at.privateOnly && !request.value.private) return refuseRead('private-only', 'PrivateOnly: This project only allows private channels')
  if (request.value.persist) return refuseRead('persist-unsupported', PERSIST_UNSUPPORTED)
  if (!at.replaces) {
    if (at.channels === 0 && !at.allowUser()) return refuseRead('too-many-users', 'ConnectionRateLimitReached: Too many connected users')
    if (at.channels >= at.maxChannels) return refuseRead('too-many-channels', 'ChannelRateLimitReached: Too many channels')
  }
  return { ok: true, request: request.value }
}

function refuse(code: DecisionCode, reason: string): JoinRefusal {
  return { ok: false, code, reason }
}
