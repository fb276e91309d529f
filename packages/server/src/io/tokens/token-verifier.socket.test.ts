import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { CompactSign, exportJWK, generateKeyPair, type CryptoKey, type JWK } from 'jose'
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { TokenVerifier } from '../../ports.ts'
import { tokenVerifier, type TokenVerifierOptions } from './token-verifier.ts'

interface Pair {
  readonly privateKey: CryptoKey
  readonly jwk: JWK
}

const COOLDOWN_MS = 10_000
const MAX_AGE_MS = 600_000

let one: Pair
let two: Pair
let server: Server
let url: string
let fetches: number
let answer: (request: IncomingMessage, response: ServerResponse) => void
let now: number
let faults: string[]

async function pair(kid: string): Promise<Pair> {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
  return { privateKey, jwk: { ...(await exportJWK(publicKey)), kid } }
}

function token(key: Pair, kid: string = key.jwk.kid!, claims: object = { role: 'anon' }): Promise<string> {
  return new CompactSign(new TextEncoder().encode(JSON.stringify(claims))).setProtectedHeader({ alg: 'ES256', kid }).sign(key.privateKey)
}

function serve(...keys: unknown[]): void {
  answer = (_, response) => response.end(JSON.stringify({ keys }))
}

function fail(status: number): void {
  answer = (_, response) => {
    response.statusCode = status
    response.end('no')
  }
}

function open(options: Partial<TokenVerifierOptions> = {}): TokenVerifier {
  return tokenVerifier({
    jwksUrl: url,
    jwksCooldownMs: COOLDOWN_MS,
    jwksMaxAgeMs: MAX_AGE_MS,
    jwksTimeoutMs: 2_000,
    uptime: () => now,
    onKeySetFault: (detail) => faults.push(detail),
    ...options,
  })
}

/** Waits for what happens in the background. */
async function until(holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 5_000
  while (!holds()) {
    if (Date.now() > deadline) throw new Error('it did not happen in time')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

beforeAll(async () => {
  one = await pair('one')
  two = await pair('two')
})

beforeEach(async () => {
  fetches = 0
  now = 1_000
  faults = []
  serve(one.jwk)
  server = createServer((request, response) => {
    fetches++
    answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`
})

afterEach(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

test('keys are fetched once, at the first token', async () => {
  const verifier = open()
  expect(fetches).toBe(0)
  for (let i = 0; i < 5; i++) expect((await verifier.verify(await token(one, 'one', { i }))).ok).toBe(true)
  expect(fetches).toBe(1)
})

test('many first tokens at once wait for one fetch', async () => {
  const verifier = open()
  const tokens = await Promise.all(Array.from({ length: 20 }, (_, i) => token(one, 'one', { i })))
  const results = await Promise.all(tokens.map((text) => verifier.verify(text)))
  expect(results.every((result) => result.ok)).toBe(true)
  expect(fetches).toBe(1)
})

test('rotation: a new key is fetched when a token names it; the old one goes when it is gone there', async () => {
  const verifier = open()
  const old = await token(one)
  expect((await verifier.verify(old)).ok).toBe(true)
  serve(two.jwk)
  now += COOLDOWN_MS
  expect((await verifier.verify(await token(two))).ok).toBe(true)
  expect(fetches).toBe(2)
  expect(await verifier.verify(old)).toEqual({ ok: false, fault: { code: 'signer', kid: 'one' } })
})

test('a flood of unknown keys costs one fetch a cooldown, and known keys go on', async () => {
  const verifier = open()
  await verifier.verify(await token(one))
  now += COOLDOWN_MS
  const flood = await Promise.all(Array.from({ length: 200 }, (_, i) => token(two, `unknown-${i}`)))
  const results = await Promise.all(flood.map((text) => verifier.verify(text)))
  expect(results.every((result) => !result.ok && result.fault.code === 'signer')).toBe(true)
  expect(fetches).toBe(2)
  now += COOLDOWN_MS - 1
  for (const text of flood) await verifier.verify(text)
  expect((await verifier.verify(await token(one))).ok).toBe(true)
  expect(fetches).toBe(2)
})

test('an outage: the last keys stay good, the fault is reported, and new keys come when it is over', async () => {
  const verifier = open()
  await verifier.verify(await token(one))
  fail(503)
  now += MAX_AGE_MS + 1
  expect((await verifier.verify(await token(one, 'one', { sub: 'x' }))).ok).toBe(true)
  await until(() => faults.length === 1)
  expect(faults[0]).toBe('the key set could not be fetched: status 503 instead of 200')
  expect(await verifier.verify(await token(two))).toEqual({ ok: false, fault: { code: 'signer', kid: 'two' } })
  expect(fetches).toBe(2)
  serve(one.jwk, two.jwk)
  now += COOLDOWN_MS
  expect((await verifier.verify(await token(two))).ok).toBe(true)
})

test('old keys are fetched again in the background, also when every token is remembered', async () => {
  const verifier = open()
  const text = await token(one)
  await verifier.verify(text)
  serve(two.jwk)
  now += MAX_AGE_MS + 1
  expect((await verifier.verify(text)).ok).toBe(true)
  await until(() => fetches === 2)
  let result = await verifier.verify(text)
  await until(() => {
    void verifier.verify(text).then((next) => (result = next))
    return !result.ok
  })
  expect(result).toEqual({ ok: false, fault: { code: 'signer', kid: 'one' } })
})

test('keys that are the same as before leave what is remembered; a withdrawn key ends it at once', async () => {
  const verifier = open()
  const text = await token(one)
  const claimsOf = async (): Promise<unknown> => {
    const result = await verifier.verify(text)
    return result.ok ? result.claims : result.fault.code
  }
  const first = await claimsOf()
  now += MAX_AGE_MS + 1
  await claimsOf()
  await until(() => fetches === 2)
  // A token of a key that is not there is answered after the fetch that goes on.
  await verifier.verify(await token(two))
  expect(await claimsOf()).toBe(first)
  serve(two.jwk)
  now += COOLDOWN_MS
  await verifier.verify(await token(two))
  expect(await claimsOf()).toBe('signer')
})

test('no keys at all: refused with the key id, tried again after a second', async () => {
  fail(500)
  const verifier = open()
  const text = await token(one)
  expect(await verifier.verify(text)).toEqual({ ok: false, fault: { code: 'signer', kid: 'one' } })
  serve(one.jwk)
  expect((await verifier.verify(text)).ok).toBe(false)
  expect(fetches).toBe(1)
  now += 1_000
  expect((await verifier.verify(text)).ok).toBe(true)
})

test('no server there: refused, and the fault says why', async () => {
  const verifier = open({ jwksUrl: 'http://127.0.0.1:1/jwks.json' })
  expect((await verifier.verify(await token(one))).ok).toBe(false)
  expect(faults).toHaveLength(1)
})

test.each([
  ['not JSON', 'nope'],
  ['no key set', '{"a":1}'],
  ['over the bound', `{"keys":[],"pad":"${'x'.repeat(1_100_000)}"}`],
])('an answer that is %s leaves the keys as they were', async (_, body) => {
  const verifier = open()
  await verifier.verify(await token(one))
  answer = (_request, response) => response.end(body)
  now += COOLDOWN_MS
  expect((await verifier.verify(await token(two))).ok).toBe(false)
  expect(faults).toHaveLength(1)
  expect((await verifier.verify(await token(one, 'one', { sub: 'x' }))).ok).toBe(true)
})

test('a redirect is not followed', async () => {
  answer = (request, response) => {
    if (request.url === '/elsewhere') return void response.end(JSON.stringify({ keys: [one.jwk] }))
    response.writeHead(302, { location: '/elsewhere' })
    response.end()
  }
  expect((await open().verify(await token(one))).ok).toBe(false)
  expect(fetches).toBe(1)
})

test('an endless answer and a silent server end at the timeout', async () => {
  const chunk = Buffer.alloc(1024, ' ')
  for (const hang of [
    (_request: IncomingMessage, _response: ServerResponse) => {},
    (_request: IncomingMessage, response: ServerResponse) => {
      const timer = setInterval(() => response.write(chunk), 20)
      response.once('close', () => clearInterval(timer))
    },
  ]) {
    answer = hang
    expect((await open({ jwksTimeoutMs: 200 }).verify(await token(one))).ok).toBe(false)
  }
  expect(faults).toHaveLength(2)
})

test('secrets from a URL are not used', async () => {
  const k = Buffer.from('published').toString('base64url')
  serve({ kty: 'oct', kid: 'hs', k })
  const verifier = open()
  const text = await new CompactSign(new TextEncoder().encode('{}'))
    .setProtectedHeader({ alg: 'HS256', kid: 'hs' })
    .sign(new TextEncoder().encode('published'))
  expect(await verifier.verify(text)).toEqual({ ok: false, fault: { code: 'signer', kid: 'hs' } })
})

test('keys by value come first, the URL is asked for the others', async () => {
  serve(two.jwk)
  const verifier = open({ jwks: { keys: [one.jwk] } })
  expect((await verifier.verify(await token(one))).ok).toBe(true)
  expect(fetches).toBe(0)
  expect((await verifier.verify(await token(two))).ok).toBe(true)
  expect(fetches).toBe(1)
})
