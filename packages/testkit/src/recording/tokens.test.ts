import { jwtVerify } from 'jose'
import { expect, test } from 'vitest'
import { RECORDED_SECRET, signToken, TokenRenewal } from './tokens.ts'

const SECRET = 'a secret of the server under test, long enough'
const NOW = 1_900_000_000
const STARTED = 1_795_460_000
const key = new TextEncoder().encode(SECRET)
const renewal = (): TokenRenewal => new TokenRenewal(SECRET, STARTED, () => NOW)
const claims = (token: string): unknown => JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString())

test('a masked token is signed with its claims', async () => {
  const url = renewal().unmask('ws://h/?apikey=<jwt role=authenticated sub=u1 exp=future>&vsn=1.0.0', false)
  const token = new URL(url).searchParams.get('apikey')!
  const { payload } = await jwtVerify(token, key, { currentDate: new Date(NOW * 1000) })
  expect(payload).toEqual({ role: 'authenticated', sub: 'u1', exp: NOW + 3600 })
})

test('a masked token lacks what it lacked, and is as old as it was', () => {
  expect(claims(renewal().unmask('<jwt exp=future>', false))).toEqual({ exp: NOW + 3600 })
  expect(claims(renewal().unmask('<jwt role=anon>', false))).toEqual({ role: 'anon' })
  expect(claims(renewal().unmask('<jwt role=anon exp=past>', false))).toEqual({ role: 'anon', exp: NOW - 100 })
  expect(claims(renewal().unmask('<jwt>', false))).toEqual({ role: 'anon', exp: NOW + 3600 })
})

test('a bad signature stays bad', async () => {
  const token = renewal().unmask('<jwt role=anon exp=future>', true)
  await expect(jwtVerify(token, key, { currentDate: new Date(NOW * 1000) })).rejects.toMatchObject({
    code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED',
  })
})

test('a token in a frame keeps its age, its types and everything else', () => {
  const recorded = signToken({ role: 'anon', exp: STARTED + 5 - 100, iat: STARTED - 900, x: ['y'] }, RECORDED_SECRET)
  const frame = renewal().renew(`{"access_token":"${recorded}"}`, 5000)
  const { access_token: token } = JSON.parse(frame) as { access_token: string }
  expect(claims(token)).toEqual({ role: 'anon', exp: NOW - 100, iat: NOW - 905, x: ['y'] })
  const worded = renewal().renew(signToken({ role: 'anon', exp: String(STARTED + 3600) }, RECORDED_SECRET), 0)
  expect(claims(worded)).toEqual({ role: 'anon', exp: String(NOW + 3600) })
})

test('a token in a frame stays as broken as it was', async () => {
  const wrong = renewal().renew(signToken({ role: 'anon', exp: STARTED + 3600 }, 'another secret'), 0)
  await expect(jwtVerify(wrong, key, { currentDate: new Date(NOW * 1000) })).rejects.toMatchObject({
    code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED',
  })
  const none = `${Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')}.${Buffer.from('{"role":"anon"}').toString('base64url')}.`
  expect(renewal().renew(none, 0)).toBe(none)
  for (const text of ['a.b.c', 'xx', 'sb_secret_x', '']) expect(renewal().renew(text, 0)).toBe(text)
})

test('one token stays one token, two stay two', () => {
  const tokens = renewal()
  const [first, second] = [1, 2].map((n) => signToken({ role: 'anon', n, exp: STARTED }, RECORDED_SECRET)) as [string, string]
  expect(tokens.renew(first, 9000)).toBe(tokens.renew(first, 0))
  expect(tokens.renew(second, 0)).not.toBe(tokens.renew(first, 0))
})

test('a replay is asked from as long ago as it was recorded', () => {
  const since = (ms: number): string => `{"replay":{"since":${ms},"limit":2}}`
  const tokens = new TokenRenewal(RECORDED_SECRET, 1_000_000_000, () => 2_000_000_010)
  expect(tokens.renew(since(1_000_000_005_000), 10_000)).toBe(since(2_000_000_005_000))
  expect(tokens.renew('{"replay":{"since":12}}', 10_000)).toBe('{"replay":{"since":12}}')
})
