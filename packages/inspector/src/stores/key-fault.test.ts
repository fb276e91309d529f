import { expect, test } from 'vitest'
import { keyFault } from './key-fault.ts'
import { explainRefusal } from './refusal.ts'

function key(claims: object): string {
  return `e30.${btoa(JSON.stringify(claims)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')}.c2ln`
}

test('sees what is wrong with a key without its secret', () => {
  expect(keyFault(key({ role: 'tidewire_admin', exp: 10 }), 9_000)).toBeNull()
  expect(keyFault(key({ role: 'tidewire_admin', exp: 10 }), 10_000)).toMatch(/^The admin key expired at /)
  expect(keyFault(key({ role: 'anon' }), 0)).toBe('This key has the role "anon"; that of an admin key is tidewire_admin.')
  expect(keyFault(key({}), 0)).toMatch(/the role null/)
})

test.each(['', 'hello', 'a.b.c', 'e30.e30', `e30.${btoa('null')}.x`, `e30.${btoa('"\u0000"')}.x`])('%j is no key', (text) => {
  expect(keyFault(text, 0)).toMatch(/^This/)
})

test.each([
  ['AdminKeyExpired: the admin key expired 5 seconds ago', true, 'The key has expired', /Load the page again/],
  ['AdminKeyExpired: the admin key expired 5 seconds ago', false, 'The key has expired', /tidewire token --admin/],
  ['ForeignOrigin: the inspector is for pages of this server only', true, 'This address is not allowed', /address that the server printed/],
  ['This is for pages on this machine only.', true, 'This address is not allowed', /address/],
  ['AdminKeyInvalid: this is no admin key of this server', false, 'The key was not taken', /applications do not open/],
])('%s', (reason, isGiven, title, remedy) => {
  expect(explainRefusal(reason, isGiven)).toEqual({ title, reason, remedy: expect.stringMatching(remedy) })
})
