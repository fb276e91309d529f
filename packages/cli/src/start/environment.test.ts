import { hostname } from 'node:os'
import { readFileSync } from 'node:fs'
import { defaultLimits, resolveOptions } from '@tidewire/server'
import { describe, expect, test } from 'vitest'
import { describeEnvironment, readEnvironment, type StartConfiguration } from './environment.ts'

const secret = { API_JWT_SECRET: 'a-secret-that-must-not-be-shown!' }
const metricsSecret = 'another-secret-of-thirty-two-bytes'

function read(environment: Record<string, string | undefined>): StartConfiguration {
  const result = readEnvironment(environment)
  if (!result.ok) throw new Error(result.faults.join('\n'))
  return result.configuration
}

function faults(environment: Record<string, string | undefined>): readonly string[] {
  const result = readEnvironment(environment)
  return result.ok ? [] : result.faults
}

test('a secret is enough', () => {
  expect(read(secret)).toEqual({
    host: '0.0.0.0',
    port: 4000,
    logLevel: 'info',
    verifier: { secret: secret.API_JWT_SECRET },
    metricsSecret: null,
    database: null,
    nodeName: `${hostname()}-4000`,
    cluster: null,
    workers: 1,
    adminSecret: null,
    allowUnboundedWal: false,
    options: { limits: {} },
    warnings: [],
  })
})

test('a key set is enough, too, as a value or as a URL', () => {
  expect(read({ API_JWT_JWKS: '{"keys":[{"kty":"RSA"}]}' }).verifier).toEqual({ secret: undefined, jwks: { keys: [{ kty: 'RSA' }] } })
  expect(read({ ...secret, API_JWT_JWKS: 'https://auth.example/jwks.json' }).verifier).toEqual({
    secret: secret.API_JWT_SECRET,
    jwksUrl: 'https://auth.example/jwks.json',
  })
})

describe('names of Supabase and our own reach the option they stand for', () => {
  test.each([
    ['TENANT_MAX_CONCURRENT_USERS', 'maxConnectedUsers'],
    ['TENANT_MAX_CHANNELS_PER_CLIENT', 'maxChannelsPerConnection'],
    ['TENANT_MAX_JOINS_PER_SECOND', 'maxJoinsPerSecond'],
    ['TENANT_MAX_EVENTS_PER_SECOND', 'maxEventsPerSecond'],
    ['CLIENT_PRESENCE_MAX_CALLS', 'maxPresenceCallsPerWindow'],
    ['CLIENT_PRESENCE_WINDOW_MS', 'presenceWindowMs'],
    ['TIDEWIRE_MAX_PRESENCE_EVENTS_PER_SECOND', 'maxPresenceEventsPerSecond'],
    ['TIDEWIRE_MAX_PAYLOAD_BYTES', 'maxPayloadBytes'],
    ['TIDEWIRE_MAX_FRAME_BYTES', 'maxFrameBytes'],
    ['TIDEWIRE_MAX_BODY_BYTES', 'maxBodyBytes'],
    ['TIDEWIRE_MAX_CHANGES_PER_JOIN', 'maxChangesPerJoin'],
    ['TIDEWIRE_MAX_CONDITIONS_PER_FILTER', 'maxConditionsPerFilter'],
    ['TIDEWIRE_MAX_CONDITIONS_PER_JOIN', 'maxConditionsPerJoin'],
    ['TIDEWIRE_MAX_PRESENCE_VALUES', 'maxPresenceValues'],
    ['TIDEWIRE_MAX_PRESENCE_BYTES', 'maxPresenceBytes'],
    ['TIDEWIRE_MAX_UNFINISHED_BYTES', 'maxUnfinishedBytes'],
    ['TIDEWIRE_FRAME_TIMEOUT_MS', 'frameTimeoutMs'],
  ])('%s is limits.%s', (name, limit) => {
    const { options } = read({ ...secret, [name]: '1234' })
    expect(options).toEqual({ limits: { [limit]: 1234 } })
    expect(resolveOptions(options).limits).toEqual({ ...defaultLimits, [limit]: 1234 })
  })

  test.each([
    ['MAX_CONNECTIONS', '1234', 'maxSockets', 1234],
    ['JWT_CLAIM_VALIDATORS', '{"iss":"x"}', 'requiredClaims', { iss: 'x' }],
    ['TIDEWIRE_PRIVATE_ONLY', 'true', 'privateOnly', true],
    ['TIDEWIRE_PRIVATE_ONLY', '0', 'privateOnly', false],
    ['TIDEWIRE_DRAIN_DELAY_MS', '5', 'drainDelayMs', 5],
    ['TIDEWIRE_IDLE_TIMEOUT_MS', '5000', 'idleTimeoutMs', 5000],
    ['TIDEWIRE_MAX_BACKLOG_BYTES', '5', 'maxBacklogBytes', 5],
    ['TIDEWIRE_MAX_MOVING_BACKLOG_BYTES', '5', 'maxMovingBacklogBytes', 5],
    ['TIDEWIRE_MAX_STALL_MS', '5', 'maxStallMs', 5],
    ['TIDEWIRE_LINGER_MS', '0', 'lingerMs', 0],
    ['TIDEWIRE_HEADERS_TIMEOUT_MS', '5', 'headersTimeoutMs', 5],
    ['TIDEWIRE_DRAIN_TIMEOUT_MS', '0', 'drainTimeoutMs', 0],
  ])('%s=%s is %s', (name, value, option, expected) => {
    const { options } = read({ ...secret, DATABASE_URL: 'postgres://h', [name]: value })
    expect(options).toEqual({ [option]: expected, limits: {} })
    expect(resolveOptions(options)).toMatchObject({ [option]: expected })
  })

  test('PORT, HOST, METRICS_JWT_SECRET', () => {
    expect(read({ ...secret, PORT: '0', HOST: '::1', METRICS_JWT_SECRET: metricsSecret })).toMatchObject({
      port: 0,
      host: '::1',
      metricsSecret,
    })
  })

  test('a limit may be lifted', () => {
    const { options } = read({ ...secret, TENANT_MAX_CONCURRENT_USERS: 'unlimited' })
    expect(resolveOptions(options).limits.maxConnectedUsers).toBe(Infinity)
  })
})

describe('the database', () => {
  test.each([
    [{ DATABASE_URL: 'postgres://u:p@h/n' }, { url: 'postgres://u:p@h/n', poolSize: 5 }],
    [
      { DB_HOST: 'db', DB_POOL_SIZE: '9' },
      { url: 'postgres://supabase_admin:postgres@db:5432/postgres', poolSize: 9 },
    ],
    [
      { DB_HOST: '::1', DB_PORT: '1', DB_USER: 'a b', DB_PASSWORD: 'p@/:', DB_NAME: 'x/y', DB_SSL: 'true' },
      { url: 'postgres://a%20b:p%40%2F%3A@[::1]:1/x%2Fy?sslmode=require', poolSize: 5 },
    ],
    [
      { DATABASE_URL: 'postgresql://h', DB_HOST: 'other' },
      { url: 'postgresql://h', poolSize: 5 },
    ],
  ])('%j', (environment, database) => expect(read({ ...secret, ...environment }).database).toEqual(database))

  test('a fault of its URL does not show the password', () => {
    expect(faults({ ...secret, DATABASE_URL: 'mysql://u:hidden@h/n', DB_PORT: '0' })).toEqual([
      'DATABASE_URL: must be a URL such as postgres://user:password@host:5432/name',
      'DB_PORT: must be a whole number from 1 to 65535',
    ])
  })
})

test.each([
  ['info', 'info'],
  ['debug', 'debug'],
  ['warning', 'warn'],
  ['warn', 'warn'],
  ['notice', 'info'],
  ['critical', 'error'],
  ['none', 'silent'],
])('LOG_LEVEL=%s is %s', (level, logLevel) => expect(read({ ...secret, LOG_LEVEL: level }).logLevel).toBe(logLevel))

describe('faults', () => {
  test('nothing to verify tokens with', () => {
    expect(faults({})).toEqual([
      'API_JWT_SECRET: is missing; set it (`tidewire keys` makes one), or API_JWT_JWKS, so that tokens can be verified',
    ])
    expect(faults({ API_JWT_SECRET: '  ' })).toHaveLength(1)
    expect(faults({ API_JWT_SECRT: 'a misspelt name' })).toEqual([
      expect.stringContaining('API_JWT_SECRET: is missing'),
      'API_JWT_SECRT has no effect on this server: did you mean API_JWT_SECRET?',
    ])
  })

  test('are all reported at once, in the order of the variables, and without the values', () => {
    const bad = {
      PORT: 'abc',
      HOST: 'not a host',
      LOG_LEVEL: 'loud',
      API_JWT_JWKS: '{"keys":[]}',
      JWT_CLAIM_VALIDATORS: '[1]',
      MAX_CONNECTIONS: '0',
      TENANT_MAX_CONCURRENT_USERS: '-1',
      TENANT_MAX_EVENTS_PER_SECOND: '1.5',
      CLIENT_PRESENCE_WINDOW_MS: 'unlimited',
      TIDEWIRE_PRIVATE_ONLY: 'perhaps',
      TIDEWIRE_IDLE_TIMEOUT_MS: '10',
    }
    const reported = faults({ ...secret, ...bad })
    expect(reported.map((fault) => fault.split(':')[0])).toEqual(Object.keys(bad))
    expect(reported[0]).toBe('PORT: must be a whole number from 0 to 65535')
    for (const value of ['abc', 'not a host', 'loud', 'perhaps', secret.API_JWT_SECRET]) expect(reported.join('\n')).not.toContain(value)
  })

  test.each([
    ['PORT', ['65536', '-1', '4000x', '1e3', '0x10', '99999999999999999999']],
    ['API_JWT_JWKS', ['{', '{}', '[]', '{"keys":{}}', 'ftp://x', 'https://', 'jwks.json']],
    ['JWT_CLAIM_VALIDATORS', ['{', '"x"', 'null', '1']],
    ['LOG_LEVEL', ['INFO', 'constructor', '__proto__']],
    ['HOST', ['a b', 'http://x', 'a/b']],
    ['TIDEWIRE_PRIVATE_ONLY', ['yes', 'TRUE', 'toString']],
    ['TENANT_MAX_JOINS_PER_SECOND', ['0', 'Infinity', '-5', '']],
    ['TIDEWIRE_LINGER_MS', ['1001', '-1']],
  ])('%s', (name, values) => {
    for (const value of values.filter((text) => text !== '')) expect(faults({ ...secret, [name]: value })).toHaveLength(1)
  })
})

test('an empty variable is one that is not set', () => {
  expect(read({ ...secret, PORT: '', LOG_LEVEL: ' ', API_JWT_JWKS: undefined })).toMatchObject({ port: 4000, logLevel: 'info' })
})

describe('warnings', () => {
  const warnings = (environment: Record<string, string>): readonly string[] => read({ ...secret, ...environment }).warnings

  test.each([
    ['TENANT_MAX_BYTES_PER_SECOND', ['TENANT_MAX_BYTES_PER_SECOND has no effect on this server']],
    ['TIDEWIRE_PROT', ['TIDEWIRE_PROT is not a variable of this server']],
    ['TIDEWIRE_IDLE_TIMEOUT', ['TIDEWIRE_IDLE_TIMEOUT is not a variable of this server']],
    ['TIDEWIRE_DRAIN_TIMEOUT_SM', ['TIDEWIRE_DRAIN_TIMEOUT_SM is not a variable of this server: did you mean TIDEWIRE_DRAIN_TIMEOUT_MS?']],
    [
      'TENANT_MAX_CONCURENT_USERS',
      ['TENANT_MAX_CONCURENT_USERS is not a variable of this server: did you mean TENANT_MAX_CONCURRENT_USERS?'],
    ],
    ['TENANT_LIMIT', ['TENANT_LIMIT is not a variable of this server']],
    ['API_JWT_SERCET', ['API_JWT_SERCET has no effect on this server: did you mean API_JWT_SECRET?']],
    ['DB_PASWORD', ['DB_PASWORD has no effect on this server: did you mean DB_PASSWORD?']],
    ['MAX_CONNECTION', ['MAX_CONNECTION has no effect on this server: did you mean MAX_CONNECTIONS?']],
    // Other programs have variables like these.
    ...['TIDEWIRE_URL', 'SECRET_KEY_BASE', 'PATH', 'API_KEY', 'DB_SCHEMA', 'POST', 'HOSTNAME'].map((name) => [name, []] as const),
  ] as const)('%s', (name, expected) => expect(warnings({ [name]: '1' })).toEqual(expected))

  test('a variable that another one makes useless', () => {
    expect(warnings({ DB_PASSWORD: 'p', TIDEWIRE_NATS_PREFIX: 'a' })).toEqual([
      'DB_PASSWORD has no effect without DB_HOST',
      'TIDEWIRE_NATS_PREFIX has no effect without TIDEWIRE_NATS_URL',
    ])
    expect(warnings({ DATABASE_URL: 'postgres://h/d', DB_HOST: 'h' })).toEqual(['DB_HOST has no effect: DATABASE_URL is set'])
    expect(warnings({ DB_HOST: 'h', DB_PASSWORD: 'p', TIDEWIRE_NATS_URL: 'nats://127.0.0.1', TIDEWIRE_NATS_PREFIX: 'a' })).toEqual([])
  })
})

describe('a secret', () => {
  const bytes = (count: number): string => 'é'.repeat(count >> 1) + 'x'.repeat(count & 1)

  test.each(['API_JWT_SECRET', 'METRICS_JWT_SECRET', 'TIDEWIRE_ADMIN_SECRET'])(
    '%s: 15 bytes are refused, 16 warned about, 32 taken',
    (name) => {
      expect(faults({ ...secret, [name]: bytes(15) })).toEqual([
        `${name}: must be a text of at least 16 bytes, 32 advised: \`tidewire keys\` makes one`,
      ])
      const warning = `${name} is shorter than 32 bytes, which HS256 asks for`
      for (const count of [16, 31]) expect(read({ ...secret, [name]: bytes(count) }).warnings).toEqual([warning])
      expect(read({ ...secret, [name]: bytes(32) }).warnings).toEqual([])
    },
  )
})

test('TIDEWIRE_PRIVATE_ONLY without a database is refused: every join would be', () => {
  expect(faults({ ...secret, TIDEWIRE_PRIVATE_ONLY: 'true' })).toEqual([
    expect.stringContaining('TIDEWIRE_PRIVATE_ONLY: needs DATABASE_URL'),
  ])
  expect(faults({ ...secret, TIDEWIRE_PRIVATE_ONLY: 'true', DB_HOST: 'db' })).toEqual([])
  expect(faults({ ...secret, TIDEWIRE_PRIVATE_ONLY: 'false' })).toEqual([])
})

test('the read-me lists every variable', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  for (const [name, meaning] of describeEnvironment()) {
    expect(meaning).not.toBe('')
    expect(readme).toContain(`\`${name}\``)
  }
})
