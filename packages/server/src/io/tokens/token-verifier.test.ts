import { createHmac } from 'node:crypto'
import { RealtimeError } from '@tidewire/protocol'
import fc from 'fast-check'
import { CompactSign, exportJWK, generateKeyPair, type CryptoKey, type JWK } from 'jose'
import { beforeAll, describe, expect, test } from 'vitest'
import { tokenVerifier } from './token-verifier.ts'

const SECRET = 'a-secret-of-more-than-thirty-two-characters'
const CLAIMS = { role: 'anon', exp: 4_000_000_000, app_metadata: { orgs: [1, 2] } }

function sign(header: { alg: string; kid?: unknown }, key: CryptoKey | Uint8Array, claims: unknown = CLAIMS): Promise<string> {
  const payload = typeof claims === 'string' ? claims : JSON.stringify(claims)
  return new CompactSign(new TextEncoder().encode(payload)).setProtectedHeader(header as { alg: string }).sign(key)
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

function unsigned(header: unknown, claims: unknown, signature = ''): string {
  const part = (value: unknown): string => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
  return `${part(header)}.${part(claims)}.${signature}`
}

interface Pair {
  readonly privateKey: CryptoKey
  readonly jwk: JWK
}

const pairs = new Map<string, Pair>()

async function pair(alg: string, kid: string): Promise<Pair> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
  const made = { privateKey, jwk: { ...(await exportJWK(publicKey)), kid } }
  pairs.set(kid, made)
  return made
}

const ASYMMETRIC = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']

beforeAll(async () => {
  for (const alg of ASYMMETRIC) await pair(alg, alg)
})

function keySet(): { keys: JWK[] } {
  return { keys: [...pairs.values()].map(({ jwk }) => jwk) }
}

describe('with a secret', () => {
  const verifier = tokenVerifier({ secret: SECRET })

  test.each(['HS256', 'HS384', 'HS512'])('%s is verified, with and without a key id', async (alg) => {
    expect(await verifier.verify(await sign({ alg }, bytes(SECRET)))).toEqual({ ok: true, claims: CLAIMS })
    expect(await verifier.verify(await sign({ alg, kid: 'any' }, bytes(SECRET)))).toEqual({ ok: true, claims: CLAIMS })
  })

  test('another secret: signature', async () => {
    const token = await sign({ alg: 'HS256' }, bytes('another'))
    expect(await verifier.verify(token)).toEqual({ ok: false, fault: { code: 'signature' } })
  })

  test('claims changed after signing: signature', async () => {
    const [head, , signature] = (await sign({ alg: 'HS256' }, bytes(SECRET))).split('.')
    const [, claims] = unsigned({}, { ...CLAIMS, role: 'service_role' }).split('.')
    expect(await verifier.verify(`${head}.${claims}.${signature}`)).toEqual({ ok: false, fault: { code: 'signature' } })
  })

  test('a signature in another spelling is malformed: one token is one key of memories and budgets', async () => {
    const token = await sign({ alg: 'HS256' }, bytes(SECRET))
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const last = alphabet.indexOf(token.at(-1)!)
    const spellings = [1, 2, 3].map((bits) => token.slice(0, -1) + alphabet[last ^ bits]!)
    for (const spelling of [...spellings, `${token}=`, `${spellings[0]}=`])
      expect(await verifier.verify(spelling)).toEqual({ ok: false, fault: { code: 'malformed' } })
    expect(await verifier.verify(token)).toEqual({ ok: true, claims: CLAIMS })
  })

  test('exp, nbf and role are not its business', async () => {
    for (const claims of [{ exp: 1 }, { nbf: 4_000_000_000 }, {}])
      expect(await verifier.verify(await sign({ alg: 'HS256' }, bytes(SECRET), claims))).toEqual({ ok: true, claims })
  })

  test.each([
    ['none', unsigned({ alg: 'none', typ: 'JWT' }, CLAIMS), null],
    ['NONE', unsigned({ alg: 'NONE' }, CLAIMS, 'AAAA'), null],
    ['an unknown algorithm', unsigned({ alg: 'XX256', kid: 'k' }, CLAIMS, 'AAAA'), 'k'],
    ['no algorithm', unsigned({}, CLAIMS, 'AAAA'), null],
    ['an algorithm that is no text', unsigned({ alg: 5, kid: 5 }, CLAIMS, 'AAAA'), null],
    ['RS256 without keys', unsigned({ alg: 'RS256', kid: 'r' }, CLAIMS, 'AAAA'), 'r'],
    ['PS256, which is not of the protocol', unsigned({ alg: 'PS256', kid: 'r' }, CLAIMS, 'AAAA'), 'r'],
    ['an extension that must be understood', unsigned({ alg: 'HS256', crit: ['x'], x: 1 }, CLAIMS, 'AAAA'), null],
    ['a very long key id', unsigned({ alg: 'ES256', kid: 'x'.repeat(5000) }, CLAIMS, 'AAAA'), 'x'.repeat(128)],
  ])('%s: no signer', async (_, token, kid) => {
    expect(await verifier.verify(token)).toEqual({ ok: false, fault: { code: 'signer', kid } })
  })

  test.each([
    [''],
    ['garbage'],
    ['not-a-jwt'],
    ['a.b.c'],
    ['..'],
    ['sb_publishable_abc'],
    ['a.b.c.d.e'],
    [unsigned([], CLAIMS, 'AAAA')],
    [unsigned('null', CLAIMS, 'AAAA')],
    [unsigned({ alg: 'HS256' }, [], 'AAAA')],
    [unsigned({ alg: 'HS256' }, '5', 'AAAA')],
    [unsigned({ alg: 'HS256' }, 'not json', 'AAAA')],
    [unsigned({ alg: 'HS256' }, CLAIMS, '!!!')],
  ])('%s: malformed', async (token) => {
    expect(await verifier.verify(token)).toEqual({ ok: false, fault: { code: 'malformed' } })
  })

  test('claims that are not UTF-8: malformed', async () => {
    const token = await new CompactSign(new Uint8Array([0x7b, 0xff, 0x7d])).setProtectedHeader({ alg: 'HS256' }).sign(bytes(SECRET))
    expect(await verifier.verify(token)).toEqual({ ok: false, fault: { code: 'malformed' } })
  })

  test('a token over the bound is malformed, whatever key signed it', async () => {
    const token = await sign({ alg: 'HS256' }, bytes(SECRET), { ...CLAIMS, pad: 'x'.repeat(30_000) })
    expect(token.length).toBeGreaterThan(32_768)
    expect(await verifier.verify(token)).toEqual({ ok: false, fault: { code: 'malformed' } })
    expect((await tokenVerifier({ secret: SECRET, maxTokenBytes: 100_000 }).verify(token)).ok).toBe(true)
  })

  test('a short secret works; people have them', async () => {
    expect((await tokenVerifier({ secret: 'x' }).verify(await sign({ alg: 'HS256' }, bytes('x')))).ok).toBe(true)
  })

  test('property: never rejects and never accepts what was not signed', async () => {
    const part = fc.oneof(
      fc.string(),
      fc.base64String(),
      fc.json().map((json) => Buffer.from(json).toString('base64url')),
      fc.constantFrom(...['HS256', 'RS256', 'none'].map((alg) => unsigned({ alg }, {}).split('.')[0]!)),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 5 }), async (parts) => {
        expect((await verifier.verify(parts.join('.'))).ok).toBe(false)
      }),
      { numRuns: 500 },
    )
  })
})

describe('with a key set', () => {
  test.each(ASYMMETRIC)('%s is verified by its key', async (alg) => {
    const verifier = tokenVerifier({ jwks: keySet() })
    const { privateKey } = pairs.get(alg)!
    const token = await sign({ alg, kid: alg }, privateKey)
    expect(await verifier.verify(token)).toEqual({ ok: true, claims: CLAIMS })
    expect(await verifier.verify(token.slice(0, -6) + 'AAAAA' + token.at(-1))).toEqual({ ok: false, fault: { code: 'signature' } })
    expect(await verifier.verify(await sign({ alg, kid: 'other' }, privateKey))).toEqual({
      ok: false,
      fault: { code: 'signer', kid: 'other' },
    })
    expect(await verifier.verify(await sign({ alg }, privateKey))).toEqual({ ok: false, fault: { code: 'signer', kid: null } })
  })

  test('a secret in the set is chosen by its id, and the secret of the server otherwise', async () => {
    const jwks = { keys: [{ kty: 'oct', kid: 'hs', k: Buffer.from('in the set').toString('base64url') }] }
    const verifier = tokenVerifier({ secret: SECRET, jwks })
    expect((await verifier.verify(await sign({ alg: 'HS256', kid: 'hs' }, bytes('in the set')))).ok).toBe(true)
    expect((await verifier.verify(await sign({ alg: 'HS256', kid: 'hs' }, bytes(SECRET)))).ok).toBe(false)
    expect((await verifier.verify(await sign({ alg: 'HS256', kid: 'x' }, bytes(SECRET)))).ok).toBe(true)
    expect((await verifier.verify(await sign({ alg: 'HS256' }, bytes(SECRET)))).ok).toBe(true)
    const keyless = tokenVerifier({ jwks })
    expect(await keyless.verify(await sign({ alg: 'HS256' }, bytes(SECRET)))).toEqual({ ok: false, fault: { code: 'signer', kid: null } })
  })

  test('a public key is no HMAC secret', async () => {
    const { jwk } = pairs.get('RS256')!
    const verifier = tokenVerifier({ jwks: keySet() })
    for (const key of [bytes(jwk.n!), bytes(JSON.stringify(jwk)), Buffer.from(jwk.n!, 'base64url')])
      expect(await verifier.verify(await sign({ alg: 'HS256', kid: 'RS256' }, key))).toEqual({
        ok: false,
        fault: { code: 'signer', kid: 'RS256' },
      })
  })

  test('the key type must fit the algorithm, the curve too', async () => {
    const { privateKey, jwk } = pairs.get('ES384')!
    const token = await sign({ alg: 'ES384', kid: 'k' }, privateKey)
    const good = { ...jwk, kid: 'k' }
    const p256 = { ...pairs.get('ES256')!.jwk, kid: 'k' }
    const rsa = { ...pairs.get('RS256')!.jwk, kid: 'k' }
    expect((await tokenVerifier({ jwks: { keys: [rsa, good] } }).verify(token)).ok).toBe(true)
    expect(await tokenVerifier({ jwks: { keys: [p256] } }).verify(token)).toEqual({ ok: false, fault: { code: 'signer', kid: 'k' } })
    expect(await tokenVerifier({ jwks: { keys: [rsa] } }).verify(token)).toEqual({ ok: false, fault: { code: 'signer', kid: 'k' } })
  })

  test('a set with private keys, uses and junk verifies just the same', async () => {
    const { privateKey, jwk } = pairs.get('ES256')!
    const full = { ...(await exportJWK(privateKey)), kid: 'full', use: 'sig', key_ops: ['sign'], alg: 'ES256' }
    expect(full.d).toBeDefined()
    const jwks = { keys: [null, 5, 'x', {}, { kty: 'RSA', kid: 'full' }, full, jwk] }
    expect((await tokenVerifier({ jwks }).verify(await sign({ alg: 'ES256', kid: 'full' }, privateKey))).ok).toBe(true)
  })

  test('an RSA key that is too short is no key', async () => {
    const { publicKey, privateKey } = await crypto.subtle.generateKey(
      { name: 'RSASSA-PKCS1-v1_5', modulusLength: 1024, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' },
      true,
      ['sign', 'verify'],
    )
    const jwk = { ...(await exportJWK(publicKey)), kid: 'short' }
    const head = unsigned({ alg: 'RS256', kid: 'short' }, CLAIMS).slice(0, -1)
    const signature = Buffer.from(await crypto.subtle.sign('RSASSA-PKCS1-v1_5', privateKey, Buffer.from(head))).toString('base64url')
    expect(await tokenVerifier({ jwks: { keys: [jwk] } }).verify(`${head}.${signature}`)).toEqual({
      ok: false,
      fault: { code: 'signer', kid: 'short' },
    })
  })
})

describe('verified tokens', () => {
  test('are remembered with their claims, the least recently used forgotten', async () => {
    const verifier = tokenVerifier({ secret: SECRET, cacheSize: 2 })
    const [a, b, c] = await Promise.all([1, 2, 3].map((sub) => sign({ alg: 'HS256' }, bytes(SECRET), { sub })))
    const claimsOf = async (token: string): Promise<unknown> => {
      const result = await verifier.verify(token)
      return result.ok ? result.claims : null
    }
    const first = await claimsOf(a!)
    await claimsOf(b!)
    expect(await claimsOf(a!)).toBe(first)
    const second = await claimsOf(b!)
    await claimsOf(a!)
    await claimsOf(c!)
    expect(await claimsOf(a!)).toBe(first)
    const again = await claimsOf(b!)
    expect(again).toEqual(second)
    expect(again).not.toBe(second)
  })

  test('of a flood of different tokens only as many are kept as fit, whatever their number', async () => {
    const verifier = tokenVerifier({ secret: SECRET, cacheSize: Infinity })
    const long = (n: number): string => {
      const content = unsigned({ alg: 'HS256' }, { n, pad: 'x'.repeat(2_900) }).slice(0, -1)
      return `${content}.${createHmac('sha256', SECRET).update(content).digest('base64url')}`
    }
    const claimsOf = async (token: string): Promise<unknown> => {
      const result = await verifier.verify(token)
      return result.ok ? result.claims : null
    }
    const first = await claimsOf(long(0))
    expect(first).toMatchObject({ n: 0 })
    expect(await claimsOf(long(0))).toBe(first)
    // 16 MiB of tokens of about 4,000 characters.
    for (let n = 1; n <= 4_300; n += 100)
      expect(await Promise.all(Array.from({ length: 100 }, (_, i) => claimsOf(long(n + i))))).not.toContain(null)
    expect(await claimsOf(long(0))).not.toBe(first)
    const last = await claimsOf(long(4_300))
    expect(await claimsOf(long(4_300))).toBe(last)
  })

  test('a refused token is not remembered as good', async () => {
    const verifier = tokenVerifier({ secret: SECRET })
    const bad = await sign({ alg: 'HS256' }, bytes('another'))
    for (let i = 0; i < 3; i++) expect((await verifier.verify(bad)).ok).toBe(false)
  })
})

describe('misuse throws at once', () => {
  test.each([
    ['nothing to verify with', {}],
    ['an empty secret', { secret: '' }],
    ['a key set that is none', { jwks: { kyes: [] } }],
    ['a key set as text', { jwks: '{"keys":[]}' }],
    ['a URL that is none', { jwksUrl: 'nowhere' }],
    ['a URL of a file', { jwksUrl: 'file:///etc/keys.json' }],
  ])('%s', (_, options) => {
    expect(() => tokenVerifier(options)).toThrow(RealtimeError)
  })
})
