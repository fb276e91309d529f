import { expect, test } from 'vitest'
import { refusal } from './refusal.ts'

/** The reasons of rule J5, of the reference, and of a Phoenix that does not know the topic. */
test.each([
  ['TopicNameRequired: You must provide a topic name', 'join-refused', false],
  ['RealtimeRestarting: Realtime is restarting, please standby', 'join-refused', true],
  ['UnknownErrorOnChannel: expected params to be a :map, got: `nil`', 'join-refused', false],
  ['InvalidJoinPayload: Invalid Join Payload', 'join-refused', false],
  ['PrivateOnly: This project only allows private channels', 'join-refused', false],
  ['ClientJoinRateLimitReached: Too many joins per second', 'rate-limited', true],
  ['ConnectionRateLimitReached: Too many connected users', 'rate-limited', true],
  ['ChannelRateLimitReached: Too many channels', 'rate-limited', false],
  ['InvalidJWTToken: Token has expired 100 seconds ago', 'token-expired', true],
  ['InvalidJWTToken: Fields `role` and `exp` are required in JWT', 'unauthorized', false],
  ['MalformedJWT: The token provided is not a valid JWT', 'unauthorized', false],
  ['JwtSignatureError: Failed to validate JWT signature', 'unauthorized', false],
  ['JwtSignerError: Failed to generate JWT signer, check your JWT secret or JWKS configuration', 'unauthorized', false],
  [':signature_error', 'unauthorized', false],
  ['Unauthorized: You do not have permissions to read from this Channel topic: room', 'unauthorized', false],
  ['UnableToReplayMessages: Replay params are not valid', 'join-refused', false],
  ['UnableToReplayMessages: Realtime was unable to replay messages', 'join-refused', true],
  ['IncreaseConnectionPool: Please increase your connection pool size', 'database-unavailable', true],
  ["DatabaseLackOfConnections: Database can't accept more connections, Realtime won't connect", 'database-unavailable', true],
  ['UnableToConnectToProject: Realtime was unable to connect to the project database', 'database-unavailable', true],
  ['InitializingProjectConnection: Realtime is initializing the project connection', 'database-unavailable', true],
  ['QueryCanceled: canceling statement due to statement timeout', 'join-refused', true],
  ['RealtimeDisabledForConfiguration: Error parsing `filter` params: …', 'join-refused', false],
  ['RealtimeDisabledForConfiguration: … An exception happened so please check your connect parameters: []', 'join-refused', true],
  ['PostgresChangesSubscribeTimeout: Timed out after 15000ms waiting for the postgres_changes subscription', 'join-refused', true],
  ['unmatched topic', 'join-refused', false],
  ['a reason that is not listed', 'join-refused', true],
])('%s', (reason, code, retryable) => {
  expect(refusal({ reason }, true)).toMatchObject({ code, retryable, message: reason, cause: { reason } })
})

test('an expired token is final without an accessToken callback; anything may come as a reason', () => {
  expect(refusal('Token has expired 1 seconds ago', false)).toMatchObject({ code: 'token-expired', retryable: false })
  for (const response of [undefined, null, 5, [], {}])
    expect(refusal(response, true)).toMatchObject({ code: 'join-refused', message: 'error' })
})
