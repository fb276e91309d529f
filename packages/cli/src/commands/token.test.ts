import { describe, expect, test } from 'vitest'
import { claimsOf } from './token.ts'

const nowS = 1_000

describe('claimsOf', () => {
  test.each([
    [{ role: 'anon' }, { role: 'anon', iat: 1_000, exp: 4_600 }],
    [
      { role: 'authenticated', sub: 'u1', exp: '1d' },
      { role: 'authenticated', sub: 'u1', iat: 1_000, exp: 87_400 },
    ],
    [
      { role: 'authenticated', claims: '{"org":7,"exp":5,"iat":1,"sub":"u2"}' },
      { role: 'authenticated', org: 7, exp: 5, iat: 1, sub: 'u2' },
    ],
  ])('%j', (values, claims) => expect(claimsOf(values, nowS)).toEqual(claims))

  test.each([
    [{ role: 'anon', claims: '{"role":"service_role"}' }, '--claims has "role", which --role gives already.'],
    [{ role: 'anon', sub: 'a', claims: '{"sub":"b"}' }, '--claims has "sub", which --sub gives already.'],
    [{ role: 'anon', exp: '1h', claims: '{"exp":5}' }, '--claims has "exp", which --exp gives already.'],
    [{ role: 'anon', exp: 'soon' }, '--exp must be a duration such as 90s, 15m, 1h, 7d or 1y, not "soon".'],
    [{ role: 'anon', claims: '[1]' }, '--claims must be a JSON object, such as {"a":1}.'],
  ])('%j is a wrong usage', (values, message) => {
    expect(() => claimsOf(values, nowS)).toThrow(expect.objectContaining({ exitCode: 2, message }))
  })
})
