import type { ChangesFaultCode, DecodeFault, JoinFault } from '@tidewire/protocol'

/**
 * Why something was refused, dropped or closed: a closed list, the same for labels of metrics, logs and the inspector.
 * `docs/errors.md` explains each.
 */
export type DecisionCode =
  | DecodeFault
  | ChangesFaultCode
  | JoinFault
  | TokenCode
  | AdminCode
  | LimitCode
  | 'authorization-unavailable'
  | 'authorizer-unavailable'
  | 'body-aborted'
  | 'body-too-slow'
  | 'busy'
  | 'changes-late'
  | 'changes-refused'
  | 'foreign-host'
  | 'internal-error'
  | 'invalid-body'
  | 'persist-unsupported'
  | 'private-only'
  | 'replay-not-allowed'
  | 'replay-unavailable'
  | 'restarting'
  | 'topic-name-required'
  | 'unauthorized'
  | 'unsupported-media-type'
  | `close-${number}`

type TokenCode =
  | 'token-claim'
  | 'token-expired'
  | 'token-incomplete'
  | 'token-malformed'
  | 'token-missing'
  | 'token-signature'
  | 'token-signer'

type AdminCode =
  | 'admin-key-claims'
  | 'admin-key-expired'
  | 'admin-key-invalid'
  | 'admin-key-missing'
  | 'admin-key-role'
  | 'admin-origin'
  | 'too-many-inspectors'

type LimitCode =
  | 'body-too-large'
  | 'frame-timeout'
  | 'payload-too-large'
  | 'presence-full'
  | 'rate-limited'
  | 'too-many-channels'
  | 'too-many-events'
  | 'too-many-idle-frames'
  | 'too-many-joins'
  | 'too-many-presence-calls'
  | 'too-many-presence-events'
  | 'too-many-unfinished-frames'
  | 'too-many-users'
  | 'too-many-waiting'
