import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Claims } from '../ports.ts'
import {
  checkClaims,
  describeTokenRefusal,
  joinReason,
  normalizeToken,
  tokenSystemMessage,
  upgradeAnswer,
  type RequiredClaims,
  type TokenRefusal,
} from './token.ts'

const NOW_MS = 1_700_000_000_500
const NOW = 1_700_000_000
const LATER = NOW + 3600

describe('checkClaims', () => {
  const accepted: [string, Claims, number][] = [
    ['role and exp', { role: 'anon', exp: LATER }, LATER],
    ['exp one second ahead', { role: 'anon', exp: NOW + 1 }, NOW + 1],
    ['a decimal exp is rounded up', { role: 'anon', exp: LATER + 0.5 }, LATER + 1],
    ['a decimal exp is rounded down', { role: 'anon', exp: LATER + 0.4 }, LATER],
    ['exp a fraction ahead', { role: 'anon', exp: NOW + 0.1 }, NOW],
    ['nbf in the future', { role: 'anon', exp: LATER, nbf: NOW + 600 }, LATER],
    ['iat in the future', { role: 'anon', exp: LATER, iat: NOW + 600 }, LATER],
    ['any aud', { role: 'anon', exp: LATER, aud: ['x'] }, LATER],
  ]
  test.each(accepted)('accepts %s', (_, claims, exp) => {
    expect(checkClaims(claims, NOW_MS)).toMatchObject({ ok: true, role: 'anon', expMs: exp * 1000, claims: { role: 'anon', exp } })
  })

  const refused: [string, Claims, TokenRefusal][] = [
    ['no exp', { role: 'anon' }, { code: 'incomplete' }],
    ['no role', { exp: LATER }, { code: 'incomplete' }],
    ['nothing', {}, { code: 'incomplete' }],
    ['a role that is no string', { role: 5, exp: LATER }, { code: 'incomplete' }],
    ['a role that is null', { role: null, exp: LATER }, { code: 'incomplete' }],
    ['exp this very second', { role: 'anon', exp: NOW }, { code: 'expired', secondsAgo: 0 }],
    ['exp 100 seconds ago', { role: 'anon', exp: NOW - 100 }, { code: 'expired', secondsAgo: 100 }],
    ['a decimal exp in the past', { role: 'anon', exp: NOW - 99.6 }, { code: 'expired', secondsAgo: 100 }],
    ['a negative exp', { role: 'anon', exp: -1 }, { code: 'expired', secondsAgo: NOW + 1 }],
    ['expired and without role', { exp: NOW - 1 }, { code: 'expired', secondsAgo: 1 }],
    ['exp as text', { role: 'anon', exp: String(LATER) }, { code: 'claim', claim: 'exp' }],
    ['exp null', { role: 'anon', exp: null }, { code: 'claim', claim: 'exp' }],
    ['exp beyond all numbers', { role: 'anon', exp: Infinity }, { code: 'claim', claim: 'exp' }],
    ['iat as text', { role: 'anon', exp: LATER, iat: 'x' }, { code: 'claim', claim: 'iat' }],
    ['iat null', { role: 'anon', exp: LATER, iat: null }, { code: 'claim', claim: 'iat' }],
  ]
  test.each(refused)('refuses %s', (_, claims, refusal) => {
    expect(checkClaims(claims, NOW_MS)).toEqual({ ok: false, refusal })
  })

  const required: [string, RequiredClaims, Claims, boolean][] = [
    ['the same text', { iss: 'a' }, { iss: 'a' }, true],
    ['another text', { iss: 'a' }, { iss: 'b' }, false],
    ['nothing', { iss: 'a' }, {}, false],
    ['one of two', { iss: 'a', aud: 'x' }, { iss: 'a' }, false],
    ['a number for a text', { iss: '1' }, { iss: 1 }, false],
    ['an equal list', { aud: ['x', 'y'] }, { aud: ['x', 'y'] }, true],
    ['a list in another order', { aud: ['x', 'y'] }, { aud: ['y', 'x'] }, false],
    ['a longer list', { aud: ['x'] }, { aud: ['x', 'y'] }, false],
    ['an equal object', { app: { a: 1, b: [null] } }, { app: { b: [null], a: 1 } }, true],
    ['an object with more', { app: { a: 1 } }, { app: { a: 1, b: 2 } }, false],
    ['an object for a list', { app: [] }, { app: {} }, false],
    ['a name that every object has', { toString: 'x' }, {}, false],
    ['null for null', { act: null }, { act: null }, true],
    ['nothing for null', { act: null }, {}, false],
  ]
  test.each(required)('required claims against %s', (_, wanted, claims, ok) => {
    expect(checkClaims({ role: 'anon', exp: LATER, ...claims }, NOW_MS, wanted).ok).toBe(ok)
  })

  test('names the claim that is not as required', () => {
    const result = checkClaims({ role: 'anon', exp: LATER, iss: 'b' }, NOW_MS, { iss: 'a' })
    expect(result).toEqual({ ok: false, refusal: { code: 'claim', claim: 'iss' } })
  })

  test('rounds iat, keeps other claims and leaves its argument alone', () => {
    const claims = Object.freeze({ role: 'anon', exp: LATER, iat: NOW + 0.7, app_metadata: { org: 1 } })
    expect(checkClaims(claims, NOW_MS)).toMatchObject({ ok: true, claims: { iat: NOW + 1, app_metadata: { org: 1 } } })
  })

  test('an enormous exp stays a number of milliseconds that arithmetic can use', () => {
    expect(checkClaims({ role: 'anon', exp: 1e300 }, NOW_MS)).toMatchObject({ ok: true, expMs: Number.MAX_SAFE_INTEGER })
  })

  test('property: decides on any claims without throwing, and admits none that is expired', () => {
    const claims = fc.record(
      { role: fc.anything(), exp: fc.oneof(fc.double(), fc.integer(), fc.anything()), iat: fc.anything() },
      { requiredKeys: [] },
    )
    const property = fc.property(claims, (given) => {
      const result = checkClaims(given, NOW_MS)
      return !result.ok || (given['exp'] as number) > NOW
    })
    expect(() => fc.assert(property)).not.toThrow()
  })
})

describe('texts', () => {
  const signer = 'Failed to generate JWT signer, check your JWT secret or JWKS configuration'
  const signerOfKid = 'Failed to generate JWT signer for key ID (kid) "k1", check your JWT secret or JWKS configuration'
  const texts: [TokenRefusal, string, [number, string], string, string][] = [
    [
      { code: 'missing' },
      'MalformedJWT: The token provided is not a valid JWT',
      [401, 'API key is missing'],
      'The token provided is not a valid JWT',
      'token-missing',
    ],
    [
      { code: 'malformed' },
      'MalformedJWT: The token provided is not a valid JWT',
      [401, 'The token provided is not a valid JWT'],
      'The token provided is not a valid JWT',
      'token-malformed',
    ],
    [
      { code: 'signature' },
      'JwtSignatureError: Failed to validate JWT signature',
      [401, 'Failed to validate JWT signature'],
      ':signature_error',
      'token-signature',
    ],
    [{ code: 'signer', kid: null }, `JwtSignerError: ${signer}`, [401, signer], signer, 'token-signer'],
    [{ code: 'signer', kid: 'k1' }, `JwtSignerError: ${signerOfKid}`, [401, signerOfKid], signerOfKid, 'token-signer'],
    [
      { code: 'expired', secondsAgo: 12 },
      'InvalidJWTToken: Token has expired 12 seconds ago',
      [401, 'Token has expired'],
      'Token has expired 12 seconds ago',
      'token-expired',
    ],
    [
      { code: 'incomplete' },
      'InvalidJWTToken: Fields `role` and `exp` are required in JWT',
      [401, 'Fields `role` and `exp` are required in JWT'],
      'Fields `role` and `exp` are required in JWT',
      'token-incomplete',
    ],
    [
      { code: 'claim', claim: 'exp' },
      'Unknown Error on Channel',
      [500, 'Error connecting to Realtime'],
      'Token expiration time is invalid',
      'token-claim',
    ],
    [
      { code: 'claim', claim: 'iss' },
      'Unknown Error on Channel',
      [500, 'Error connecting to Realtime'],
      'Unknown Error on Channel',
      'token-claim',
    ],
  ]
  test.each(texts)('%j', (refusal, join, [status, text], system, code) => {
    expect(joinReason(refusal)).toBe(join)
    expect(upgradeAnswer(refusal)).toEqual({ status, text })
    expect(tokenSystemMessage(refusal)).toBe(system)
    expect(describeTokenRefusal(refusal)).toEqual({ code, detail: expect.stringMatching(/\w/) })
  })
})

describe('normalizeToken', () => {
  test.each([
    ['a.b.c', 'a.b.c'],
    [' a.b\n.c\t', 'a.b.c'],
    ['a%2Eb.c', 'a.b.c'],
    ['a%20b', 'ab'],
    ['a+b', 'a+b'],
    ['100%', '100%'],
    ['%ff', '%ff'],
    ['', ''],
  ])('%j → %j', (token, normal) => {
    expect(normalizeToken(token)).toBe(normal)
  })
})
