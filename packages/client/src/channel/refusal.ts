import { isJsonObject, RealtimeError, type RealtimeErrorCode, type SystemPayload } from '@tidewire/protocol'

/** The code for the words at the head of a server's reason. Anything else is `join-refused` and worth another try. */
const MEANINGS: readonly (readonly [words: RegExp, code: RealtimeErrorCode, retryable: boolean])[] = [
  [/^(InvalidJWTToken: )?Token has expired/, 'token-expired', true],
  [/^Unauthorized|^You do not have permissions|JWT|signature_error/, 'unauthorized', false],
  [/^(TopicName|PrivateOnly|TenantNot|RealtimeDisabledForT)|^unmatched/, 'join-refused', false],
  // The request is wrong, and will be so next time. An exception is the database's, and may pass.
  [/^(UnknownErrorOnChannel|InvalidJoinPayload|UnableToReplayMessages: Replay)/, 'join-refused', false],
  [/^RealtimeDisabledForConfiguration(?!.*An exception happened)/, 'join-refused', false],
  [/^ChannelRateLimitReached/, 'rate-limited', false],
  [/RateLimitReached|^Too many|rate limit exceeded/, 'rate-limited', true],
  [/^(Track message size|PresenceFull)/, 'payload-too-large', false],
  [/^(IncreaseConn|DatabaseLack|UnableToConn|InitializingProj)/, 'database-unavailable', true],
]

/** The error for a reason that the server gave; its text is the server's own. An expired token is final unless there is an `accessToken` callback. */
export function refusal(response: unknown, canRefresh: boolean): RealtimeError {
  const { code: fault, reason } = Object(response) as { readonly code?: SystemPayload['code']; readonly reason?: string }
  if (fault !== undefined) return changesError({ ...(response as SystemPayload), message: reason! })
  const message = isJsonObject(response) ? Object.values(response).join(', ') : typeof response === 'string' ? response : ''
  const [, code, retryable] = MEANINGS.find(([words]) => words.test(message)) ?? [null, 'join-refused' as const, true]
  return new RealtimeError(code, message || 'error', { cause: response, retryable: retryable && (canRefresh || code !== 'token-expired') })
}

/** The error in a `system` message about Postgres changes. Servers other than Tidewire give no code. */
export function changesError(system: Pick<SystemPayload, 'code' | 'hint' | 'message'>): RealtimeError {
  const { code = 'join-refused', hint, message } = system
  return new RealtimeError(code, message, { cause: system, hint, retryable: code === 'database-unavailable' })
}
