import { describe, expect, test } from 'vitest'
import { hostCheck, isLoopbackOrigin, localUrl } from './host-check.ts'

const ownNames = ['localhost', 'localhost:4000', 'LOCALHOST:4000', '127.0.0.1', '127.0.0.1:4000', '[::1]', '[::1]:4000']
const foreign = [
  ...[undefined, '', 'evil.example', 'evil.example:4000', 'localhost.evil.example', '127.0.0.1.evil.example', 'evillocalhost'],
  ...['localhost@evil.example', 'evil.example/localhost', 'localhost evil.example', 'localhost:4000:1', '[::2]', 'evil.example#localhost'],
]

describe('hostCheck', () => {
  const isOurs = hostCheck('127.0.0.1')
  test.each(ownNames)('%j is ours', (host) => expect(isOurs(host)).toBe(true))
  test.each([...foreign, '192.168.1.20:4000'])('%j is not', (host) => expect(isOurs(host)).toBe(false))

  test('the bound host is ours, too', () => {
    const check = hostCheck('laptop.local')
    for (const host of ['laptop.local', 'Laptop.local:4000', 'localhost']) expect(check(host)).toBe(true)
    expect(check('other.local')).toBe(false)
    expect(hostCheck('::1')('[::1]:4000')).toBe(true)
  })

  test.each(['0.0.0.0', '::', '[::]'])('bound to %s, any number is ours, but no other name', (bound) => {
    const check = hostCheck(bound)
    for (const host of ['192.168.1.20:4000', '[fe80::1]:4000', ...ownNames]) expect(check(host)).toBe(true)
    for (const host of foreign.filter((name) => name !== '[::2]')) expect(check(host)).toBe(false)
  })
})

test.each([
  ['http://localhost:5173', true],
  ['https://127.0.0.1', true],
  ['http://[::1]:3000', true],
  ['http://evil.example', false],
  ['http://localhost.evil.example', false],
  ['null', false],
  ['', false],
])('the origin %j is of this machine: %s', (origin, is) => expect(isLoopbackOrigin(origin)).toBe(is))

test.each([
  ['http://0.0.0.0:4000', 'http://127.0.0.1:4000'],
  ['http://[::]:4000', 'http://[::1]:4000'],
  ['http://127.0.0.1:4000', 'http://127.0.0.1:4000'],
])('%s is reached at %s', (url, local) => expect(localUrl(url)).toBe(local))
