import { describe, expect, test } from 'vitest'
import { readEnvironment } from './environment.ts'

const secret = { API_JWT_SECRET: 'a-secret-that-must-not-be-shown' }

function read(environment: Record<string, string>) {
  const result = readEnvironment({ ...secret, ...environment })
  return result.ok ? result.configuration.cluster : result.faults
}

test('without a URL a server is alone', () => {
  expect(read({})).toBeNull()
  expect(read({ TIDEWIRE_NODE_NAME: 'a', TIDEWIRE_NATS_PREFIX: 'x' })).toBeNull()
})

test('a NATS on this machine needs nothing else', () => {
  expect(read({ TIDEWIRE_NATS_URL: 'nats://127.0.0.1', PORT: '5000', TIDEWIRE_NODE_NAME: 'a' })).toEqual({
    address: { servers: ['127.0.0.1:4222'], credentials: { kind: 'none' }, encryption: 'offered', tls: {} },
    prefix: 'tidewire',
    nodeName: 'a',
  })
  expect(read({ TIDEWIRE_NATS_URL: 'nats://[::1]:5, nats://localhost:6', PORT: '5000' })).toMatchObject({
    address: { servers: ['[::1]:5', 'localhost:6'] },
    nodeName: expect.stringMatching(/-5000$/) as string,
  })
})

describe('a NATS on another machine', () => {
  const url = { TIDEWIRE_NATS_URL: 'nats://nats.example.com:4222' }

  test('is refused without credentials, unless that is allowed', () => {
    expect(read(url)).toEqual([
      expect.stringMatching(/^TIDEWIRE_NATS_URL: names nats\.example\.com, which is not this machine, without credentials/),
    ])
    expect(read({ ...url, TIDEWIRE_NATS_ALLOW_INSECURE: 'true' })).toMatchObject({ address: { encryption: 'offered' } })
  })

  test.each<[string, Record<string, string>, object]>([
    ['a token', { TIDEWIRE_NATS_TOKEN: 't' }, { kind: 'token', token: 't' }],
    ['user and password', { TIDEWIRE_NATS_USER: 'u', TIDEWIRE_NATS_PASSWORD: 'p' }, { kind: 'password', user: 'u', password: 'p' }],
    ['a credentials file', { TIDEWIRE_NATS_CREDS: '/x.creds' }, { kind: 'file', path: '/x.creds' }],
    ['both in the URL', { TIDEWIRE_NATS_URL: 'nats://u:p%40@nats.example.com' }, { kind: 'password', user: 'u', password: 'p@' }],
    ['a token in the URL', { TIDEWIRE_NATS_URL: 'tls://t@nats.example.com' }, { kind: 'token', token: 't' }],
  ])('is used with %s, and must offer TLS', (_, more, credentials) => {
    expect(read({ ...url, ...more })).toMatchObject({ address: { credentials, encryption: 'required' } })
  })

  test('is used with a certificate of this server', () => {
    expect(read({ ...url, TIDEWIRE_NATS_TLS_CERT: '/c', TIDEWIRE_NATS_TLS_KEY: '/k', TIDEWIRE_NATS_TLS_CA: '/a' })).toMatchObject({
      address: { encryption: 'required', tls: { caFile: '/a', certFile: '/c', keyFile: '/k' } },
    })
  })
})

test.each<[string, Record<string, string>, RegExp]>([
  ['no URL', { TIDEWIRE_NATS_URL: 'hidden' }, /^TIDEWIRE_NATS_URL: must be one or more URLs/],
  ['another scheme', { TIDEWIRE_NATS_URL: 'http://127.0.0.1' }, /^TIDEWIRE_NATS_URL: must be one or more URLs/],
  ['a bad port', { TIDEWIRE_NATS_URL: 'nats://127.0.0.1:99999' }, /^TIDEWIRE_NATS_URL: must be one or more URLs/],
  ['a path', { TIDEWIRE_NATS_URL: 'nats://127.0.0.1/hidden' }, /^TIDEWIRE_NATS_URL: must be one or more URLs/],
  ['two credentials', { TIDEWIRE_NATS_URL: 'nats://a:hidden@127.0.0.1,nats://b:hidden@127.0.0.1' }, /different credentials/],
  ['credentials twice', { TIDEWIRE_NATS_URL: 'nats://a:hidden@127.0.0.1', TIDEWIRE_NATS_TOKEN: 'hidden' }, /others are given beside it/],
  ['two kinds', { TIDEWIRE_NATS_TOKEN: 'hidden', TIDEWIRE_NATS_CREDS: '/hidden' }, /^TIDEWIRE_NATS_CREDS: .*not more than one/],
  ['half a login', { TIDEWIRE_NATS_USER: 'hidden' }, /^TIDEWIRE_NATS_USER: .*one of them is missing/],
  ['half a certificate', { TIDEWIRE_NATS_URL: 'nats://127.0.0.1', TIDEWIRE_NATS_TLS_KEY: '/hidden' }, /^TIDEWIRE_NATS_TLS_CERT: /],
  ['a prefix with a wildcard', { TIDEWIRE_NATS_PREFIX: 'hidden.>' }, /^TIDEWIRE_NATS_PREFIX: /],
  ['a name that is too long', { TIDEWIRE_NODE_NAME: 'x'.repeat(65) }, /^TIDEWIRE_NODE_NAME: /],
])('%s is a fault that names the variable and shows no value', (_, environment, fault) => {
  const faults = read(environment) as readonly string[]
  expect(faults.join('\n')).toMatch(fault)
  expect(faults.join('\n')).not.toContain('hidden')
})
