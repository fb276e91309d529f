import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { seeded } from '../../test/seeded.ts'
import { parseJoin, type JoinRequest } from './join.ts'

const defaults: JoinRequest = {
  private: false,
  ack: false,
  self: false,
  replicationReady: false,
  replay: null,
  persist: false,
  gaps: false,
  presenceKey: null,
  presenceEnabled: false,
  postgresChanges: [],
  postgresChangesOptions: { wait: false, timeoutMs: 15_000, positions: false, since: null, deletes: 'all' },
  accessToken: null,
  legacy: false,
}

const joined = (payload: unknown): JoinRequest => {
  const parsed = parseJoin(payload)
  if (!parsed.ok) throw new Error(parsed.reason)
  return parsed.value
}

describe('parseJoin', () => {
  test('every key that there is', () => {
    const entries = [{ event: '*', schema: 'public', table: 'notes', own: 'key' }]
    expect(
      joined({
        config: {
          private: true,
          broadcast: { ack: true, self: true, replication_ready: true, gaps: 'true', replay: { since: 1795459835246, limit: 5 } },
          presence: { key: 'me', enabled: true },
          postgres_changes: entries,
          postgres_changes_options: { positions: true, since: '1/0/0', wait: true, timeout: 5, deletes: 'authorized' },
        },
        access_token: 'a.b.c',
        version: 'realtime-js/2',
      }),
    ).toEqual({
      private: true,
      ack: true,
      self: true,
      replicationReady: true,
      replay: { since: 1795459835246, limit: 5 },
      persist: false,
      gaps: true,
      presenceKey: 'me',
      presenceEnabled: true,
      postgresChanges: entries,
      postgresChangesOptions: { wait: true, timeoutMs: 5, positions: true, since: '1/0/0', deletes: 'authorized' },
      accessToken: 'a.b.c',
      legacy: false,
    })
  })

  test.each<[string, unknown, Partial<JoinRequest>]>([
    ['nothing at all is a legacy join', {}, { legacy: true }],
    ['an empty config', { config: {} }, {}],
    ['no config', { config: null }, {}],
    ['nulls', { config: { private: null, broadcast: null, presence: null, postgres_changes: null, postgres_changes_options: null } }, {}],
    [
      'booleans as strings',
      { config: { private: 'TRUE', broadcast: { ack: 'true', self: 'True' } } },
      { private: true, ack: true, self: true },
    ],
    ['"false" is false', { config: { private: 'false', presence: { enabled: 'FALSE' } } }, {}],
    ['anything else is no boolean', { config: { private: 1, broadcast: { ack: 'yes', self: {} } } }, {}],
    ['presence of another type', { config: { presence: 'on', postgres_changes_options: [1] } }, {}],
    ['a number as key', { config: { presence: { key: 123 } } }, { presenceKey: '123' }],
    ['a boolean as key', { config: { presence: { key: false } } }, { presenceKey: 'false' }],
    ['an object as key', { config: { presence: { key: { a: 1 } } } }, {}],
    ['a list as key', { config: { presence: { key: ['a'] } } }, {}],
    ['an empty key asks for one', { config: { presence: { key: '' } } }, {}],
    [
      'nulls among the entries',
      { config: { postgres_changes: [null, { table: 'a' }, null, 5] } },
      { postgresChanges: [{ table: 'a' }, 5] },
    ],
    ['entries that are no list', { config: { postgres_changes: { event: '*' } } }, {}],
    [
      'since of another type',
      { config: { postgres_changes_options: { positions: 'true', since: 5, deletes: true } } },
      { postgresChangesOptions: { ...defaults.postgresChangesOptions, positions: true } },
    ],
  ])('tolerates: %s', (_, payload, difference) => {
    expect(joined(payload)).toEqual({ ...defaults, ...difference })
  })

  test.each<[unknown, boolean]>([
    [true, true],
    [{ ttl: 60 }, true],
    [{}, true],
    ['true', true],
    [false, false],
    ['false', false],
    [null, false],
  ])('persist: %j asks to store: %s (rule B10)', (persist, asks) => {
    expect(joined({ config: { broadcast: { persist } } })).toEqual({ ...defaults, persist: asks })
  })

  test('takes a thousand entries of row changes, nulls not counted, and no more (rule L12)', () => {
    const asked = (count: number): unknown => ({
      config: { postgres_changes: [null, ...Array.from({ length: count }, () => ({ event: '*' }))] },
    })
    expect(joined(asked(1_000)).postgresChanges).toHaveLength(1_000)
    const reason = 'TooManyChanges: a join takes at most 1000 entries in postgres_changes'
    expect(parseJoin(asked(1_001))).toEqual({ ok: false, code: 'too-many-changes', reason })
  })

  test.each<[string, unknown, string | null]>([
    ['given', { access_token: 'a.b.c' }, 'a.b.c'],
    ['user_token wins', { access_token: 'a.b.c', user_token: 'd.e.f' }, 'd.e.f'],
    ['user_token of another type', { access_token: 'a.b.c', user_token: 5 }, 'a.b.c'],
    ['user_token alone', { user_token: 'd.e.f' }, 'd.e.f'],
    ['empty, to be refused as malformed', { access_token: '' }, ''],
    ['absent', {}, null],
    ['null', { access_token: null }, null],
    ['a number', { access_token: 5 }, null],
    ['an API key', { access_token: 'sb_publishable_x' }, null],
  ])('the token: %s', (_, payload, token) => {
    expect(joined(payload).accessToken).toBe(token)
  })

  test.each([
    [undefined, 15_000],
    [null, 15_000],
    ['500', 15_000],
    [0, 15_000],
    [-1, 15_000],
    [1.5, 15_000],
    [500, 500],
    [1e12, 60_000],
  ])('the time to wait for changes: %j', (timeout, timeoutMs) => {
    expect(joined({ config: { postgres_changes_options: { wait: 'true', timeout } } }).postgresChangesOptions).toMatchObject({
      wait: true,
      timeoutMs,
    })
  })

  test.each<[unknown, JoinRequest['replay']]>([
    [undefined, null],
    [null, null],
    [5, null],
    ['x', null],
    [[], null],
    [{ since: 10 }, { since: 10, limit: 25 }],
    [
      { since: 10, limit: null },
      { since: 10, limit: 25 },
    ],
    [
      { since: 10, limit: 0 },
      { since: 10, limit: 1 },
    ],
    [
      { since: 10, limit: -7 },
      { since: 10, limit: 1 },
    ],
    [
      { since: 10, limit: 25 },
      { since: 10, limit: 25 },
    ],
    [
      { since: 10, limit: 26 },
      { since: 10, limit: 25 },
    ],
    [{ since: 10, limit: '5' }, 'invalid'],
    [{ since: 10, limit: 1.5 }, 'invalid'],
    [{ since: '10' }, 'invalid'],
    [{ since: 1.5 }, 'invalid'],
    [{ since: 1e300 }, 'invalid'],
    [{}, 'invalid'],
    [{ limit: 5 }, 'invalid'],
  ])('replay %j', (replay, read) => {
    expect(joined({ config: { broadcast: { replay } } }).replay).toEqual(read)
  })

  test.each([
    [null, 'UnknownErrorOnChannel: expected params to be a :map, got: `nil`'],
    ['str', 'UnknownErrorOnChannel: expected params to be a :map, got: `"str"`'],
    [[], 'UnknownErrorOnChannel: expected params to be a :map, got: `[]`'],
    [5, 'UnknownErrorOnChannel: expected params to be a :map, got: `5`'],
    [{ config: 'str' }, 'UnknownErrorOnChannel: no function clause matching in Access.get/3'],
    [{ config: [] }, 'UnknownErrorOnChannel: no function clause matching in Access.get/3'],
    [{ config: { broadcast: 'str' } }, 'UnknownErrorOnChannel: no function clause matching in Access.get/3'],
  ])('refuses what the reference refuses, in its words: %j', (payload, reason) => {
    expect(parseJoin(payload)).toEqual({ ok: false, code: 'malformed-join', reason })
  })

  test('a refusal does not carry back megabytes', () => {
    const parsed = parseJoin(['x'.repeat(1_000_000)])
    expect(parsed.ok ? '' : parsed.reason).toHaveLength(260)
  })

  test('any JSON value is read or refused', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.jsonValue(),
          fc.record({ config: fc.jsonValue() }),
          fc.record({ config: fc.record({ broadcast: fc.jsonValue(), presence: fc.jsonValue(), postgres_changes: fc.jsonValue() }) }),
        ),
        (payload) => {
          const parsed = parseJoin(payload)
          if (!parsed.ok) expect(parsed.reason).toMatch(/^UnknownErrorOnChannel: /)
          else expect(Object.keys(parsed.value)).toEqual(Object.keys(defaults))
        },
      ),
      seeded('joins', 2000),
    )
  })
})
