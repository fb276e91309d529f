import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { Identities, type CheckIdentity } from './identity.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const SUB = new Set(['sub'])

test('users that policies cannot distinguish are one identity', () => {
  const identities = new Identities()
  const first = identities.of('authenticated', { sub: '1', exp: 1 }, SUB)
  expect(identities.of('authenticated', { exp: 2, sub: '1' }, SUB)).toBe(first)
  expect(identities.of('authenticated', { sub: '2', exp: 1 }, SUB)).not.toBe(first)
  expect(identities.of('anon', { sub: '1', exp: 1 }, SUB)).not.toBe(first)
  expect(identities.of('authenticated', { sub: '1', exp: 1 }, 'all')).not.toBe(first)
  expect(identities.size).toBe(4)
})

test('identities that nothing holds any more are forgotten, and the others stay the same objects', async () => {
  const identities = new Identities()
  const renewed = (sub: number, exp: number): CheckIdentity => identities.of('authenticated', { sub: `${sub}`, exp }, 'all')
  const held = Array.from({ length: 10 }, (_, sub) => renewed(sub, 0))
  for (let exp = 1; exp <= 1_000; exp++) for (let sub = 0; sub < 10; sub++) renewed(sub, exp)
  expect(identities.size).toBe(10_010)
  // The garbage collector reports between two turns of the event loop, sooner or later.
  await expect
    .poll(() => {
      collectGarbage()
      return identities.size
    })
    .toBe(10)
  held.forEach((identity, sub) => expect(renewed(sub, 0)).toBe(identity))
})
