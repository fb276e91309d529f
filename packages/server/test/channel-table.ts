import type { Admission } from '../src/auth/admission.ts'
import type { ChannelEvent, ChannelState, ChannelTransitionOptions } from '../src/channel/channel-state.ts'
import type { Authorization } from '../src/ports.ts'

export const admission = (token: string): Admission => ({
  token,
  identity: { role: 'authenticated', claims: {}, headers: {} },
  expiresAtMs: 1,
})
export const first = admission('first')
export const second = admission('second')
export const all = { broadcast: true, presence: true }
export const allowed: Authorization = { ok: true, ...all }
export const denied: Authorization = { ok: true, broadcast: false, presence: false }
export const down: Authorization = { ok: false, reason: 'UnableToConnectToProject: the database is down' }

export const isPrivate: ChannelTransitionOptions = {
  private: true,
  presenceEnabled: true,
  wantsReplay: false,
  isClustered: false,
  waitsForChanges: false,
  subTopic: 'room',
  showsFailedPolicies: false,
}
export const joined: Extract<ChannelState, { kind: 'joined' }> = {
  kind: 'joined',
  admission: first,
  reads: all,
  writes: null,
  renewing: null,
}

type StateName = ChannelState['kind'] | 'joined, asking' | 'joined, renewing' | 'joined, asking and renewing'
export type EventName =
  | ChannelEvent['type']
  | 'admitted, other token'
  | 'new-token, same'
  | `read-decided, ${'denied' | 'unknown'}`
  | 'write-decided, unknown'

export const STATES: Record<StateName, ChannelState> = {
  verifying: { kind: 'verifying' },
  authorizing: { kind: 'authorizing', admission: first },
  attaching: { kind: 'attaching', admission: first, reads: all },
  replaying: { kind: 'replaying', admission: first, reads: all },
  subscribing: { kind: 'subscribing', admission: first, reads: all, replay: [] },
  joined,
  'joined, asking': { ...joined, writes: 'asking' },
  'joined, renewing': { ...joined, renewing: 'second' },
  'joined, asking and renewing': { ...joined, writes: 'asking', renewing: 'second' },
  closed: { kind: 'closed' },
}

export const EVENTS: Record<EventName, ChannelEvent> = {
  admitted: { type: 'admitted', admission: first },
  'admitted, other token': { type: 'admitted', admission: second },
  'token-refused': { type: 'token-refused', token: 'second', code: 'token-expired', joinReason: 'InvalidJWTToken: late', message: 'late' },
  'read-decided': { type: 'read-decided', admission: second, authorization: allowed },
  attached: { type: 'attached' },
  'read-decided, denied': { type: 'read-decided', admission: second, authorization: denied },
  'read-decided, unknown': { type: 'read-decided', admission: second, authorization: down },
  'replay-loaded': { type: 'replay-loaded', messages: [], position: null },
  'replay-failed': { type: 'replay-failed', reason: 'UnableToReplayMessages: no' },
  'changes-live': { type: 'changes-live' },
  'changes-refused': { type: 'changes-refused', code: 'changes-refused', reason: 'no' },
  'new-token': { type: 'new-token', token: 'second' },
  'new-token, same': { type: 'new-token', token: 'first' },
  'first-push': { type: 'first-push' },
  'write-decided': { type: 'write-decided', admission: first, authorization: allowed },
  'write-decided, unknown': { type: 'write-decided', admission: first, authorization: down },
  stop: { type: 'stop', code: 'too-many-events', message: 'Too many messages per second' },
  leave: { type: 'leave' },
  replaced: { type: 'replaced' },
  'connection-closed': { type: 'connection-closed' },
}

export const REFUSED = 'closed: exit, refuse-join, forget'
const STOPPED = 'closed: exit, system-error, phx-close, forget'

export const stateNames = Object.keys(STATES) as StateName[]
export const eventNames = Object.keys(EVENTS) as EventName[]

/** Events after which the state stays as it is, and nothing is done. */
function stays<const Name extends EventName>(...events: readonly Name[]): Readonly<Record<Name, 'stays'>> {
  return Object.fromEntries(events.map((event) => [event, 'stays'])) as Record<Name, 'stays'>
}

const DECISIONS = stays(
  'admitted',
  'admitted, other token',
  'token-refused',
  'read-decided',
  'read-decided, denied',
  'read-decided, unknown',
)
/** What only a joined channel takes. */
const WHILE_JOINED = stays('new-token', 'new-token, same', 'first-push', 'write-decided', 'write-decided, unknown', 'leave')
/** What only a channel takes that is joining, one state after the other. */
const TO_JOIN = stays('attached', 'replay-loaded', 'replay-failed', 'changes-live', 'changes-refused')

/** What ends a joined channel. */
const ENDS = {
  stop: STOPPED,
  leave: 'closed: exit, phx-close, forget',
  replaced: 'closed: exit',
  'connection-closed': 'closed: exit',
} as const

/** What each state makes of each event: the state after it, and what is done. */
export const TABLE: Record<StateName, Record<EventName, string>> = {
  verifying: {
    ...WHILE_JOINED,
    ...TO_JOIN,
    ...stays('read-decided', 'read-decided, denied', 'read-decided, unknown'),
    admitted: 'authorizing: ask-read',
    'admitted, other token': 'authorizing: ask-read',
    'token-refused': REFUSED,
    stop: REFUSED,
    replaced: 'closed',
    'connection-closed': 'closed',
  },
  authorizing: {
    ...WHILE_JOINED,
    ...TO_JOIN,
    ...stays('admitted', 'admitted, other token', 'token-refused'),
    'read-decided': 'joined: join-at, enter, resume',
    'read-decided, denied': REFUSED,
    'read-decided, unknown': REFUSED,
    stop: REFUSED,
    replaced: 'closed',
    'connection-closed': 'closed',
  },
  attaching: {
    ...WHILE_JOINED,
    ...DECISIONS,
    ...stays('replay-loaded', 'replay-failed', 'changes-live', 'changes-refused'),
    attached: 'joined: enter, resume',
    stop: REFUSED,
    replaced: 'closed',
    'connection-closed': 'closed',
  },
  replaying: {
    ...WHILE_JOINED,
    ...DECISIONS,
    ...stays('attached', 'changes-live', 'changes-refused'),
    'replay-loaded': 'joined: join-at, enter, resume',
    'replay-failed': REFUSED,
    stop: REFUSED,
    replaced: 'closed',
    'connection-closed': 'closed',
  },
  subscribing: {
    ...WHILE_JOINED,
    ...DECISIONS,
    ...stays('attached', 'replay-loaded', 'replay-failed'),
    'changes-live': 'joined: enter, resume',
    'changes-refused': REFUSED,
    stop: REFUSED,
    replaced: 'closed: exit',
    'connection-closed': 'closed: exit',
  },
  joined: {
    ...TO_JOIN,
    ...DECISIONS,
    ...stays('new-token, same', 'write-decided', 'write-decided, unknown'),
    'new-token': 'joined: verify',
    'first-push': 'joined: ask-write',
    ...ENDS,
  },
  'joined, asking': {
    ...TO_JOIN,
    ...DECISIONS,
    ...stays('new-token, same', 'first-push'),
    'new-token': 'joined: verify',
    'write-decided': 'joined: resume',
    'write-decided, unknown': 'joined: refuse-waiting',
    ...ENDS,
  },
  'joined, renewing': {
    ...TO_JOIN,
    ...stays('admitted', 'new-token', 'write-decided', 'write-decided, unknown'),
    'admitted, other token': 'joined: ask-read',
    'token-refused': STOPPED,
    'read-decided': 'joined: change-reads, change-identity',
    'read-decided, denied': STOPPED,
    'read-decided, unknown': STOPPED,
    'new-token, same': 'joined: verify',
    'first-push': 'joined: ask-write',
    ...ENDS,
  },
  'joined, asking and renewing': {
    ...TO_JOIN,
    ...stays('admitted', 'new-token', 'first-push'),
    'admitted, other token': 'joined: ask-read',
    'token-refused': STOPPED,
    'read-decided': 'joined: change-reads, change-identity, ask-write',
    'read-decided, denied': STOPPED,
    'read-decided, unknown': STOPPED,
    'new-token, same': 'joined: verify',
    'write-decided': 'joined: resume',
    'write-decided, unknown': 'joined: refuse-waiting',
    ...ENDS,
  },
  closed: stays(...eventNames),
}
