import { defaultJoinBounds } from '@tidewire/protocol'
import { describe, expect, test } from 'vitest'
import { checkJoin, type JoinConditions } from './join-check.ts'

const quiet: JoinConditions = {
  draining: false,
  privateOnly: false,
  bounds: { ...defaultJoinBounds, maxConditionsPerFilter: 2 },
  channels: 0,
  maxChannels: 100,
  replaces: false,
  allowJoin: () => true,
  allowUser: () => true,
}
const joinOf = (isPrivate: boolean): unknown => ({ config: { private: isPrivate } })
const codeOf = (conditions: Partial<JoinConditions>, subTopic = 'room', payload = joinOf(false)): string => {
  const join = checkJoin(subTopic, payload, { ...quiet, ...conditions })
  return join.ok ? 'ok' : join.code
}

describe('what is asked of a join', () => {
  test('one that finds nothing in its way is read', () => {
    expect(checkJoin('room', joinOf(true), quiet)).toMatchObject({ ok: true, request: { private: true } })
  })

  test.each<[code: string, conditions: Partial<JoinConditions>]>([
    ['restarting', { draining: true }],
    ['private-only', { privateOnly: true }],
    ['too-many-joins', { allowJoin: () => false }],
    ['too-many-users', { allowUser: () => false }],
    ['too-many-channels', { channels: 100 }],
  ])('%s', (code, conditions) => {
    expect(codeOf(conditions)).toBe(code)
  })

  test('a topic must have a name, and a payload a shape', () => {
    expect(codeOf({}, '')).toBe('topic-name-required')
    expect(codeOf({}, 'room', 'no object')).toBe('malformed-join')
  })

  test('one that asks for what is not built is refused by name (rule B10)', () => {
    const join = checkJoin('room', { config: { private: true, broadcast: { persist: true } } }, quiet)
    expect(join).toMatchObject({ ok: false, code: 'persist-unsupported', reason: expect.stringMatching(/^PersistUnsupported: /) as string })
  })

  test('a private channel is let in where there are no others', () => {
    expect(codeOf({ privateOnly: true }, 'room', joinOf(true))).toBe('ok')
  })

  test('the limit of users counts sockets, so it stops the first channel of one and no later one', () => {
    expect(codeOf({ channels: 1, allowUser: () => false })).toBe('ok')
  })

  test('one that takes the place of another adds neither a user nor a channel', () => {
    expect(codeOf({ replaces: true, channels: 100, allowUser: () => false })).toBe('ok')
  })

  test('it is counted before it is read, unless the server takes none at all', () => {
    let counted = 0
    const allowJoin = (): boolean => ++counted > 0
    codeOf({ draining: true, allowJoin })
    expect(counted).toBe(0)
    codeOf({ privateOnly: true, allowJoin })
    codeOf({ allowJoin }, 'room', null)
    codeOf({ channels: 100, allowJoin })
    expect(counted).toBe(3)
  })

  test('a refusal says whether the channel would have been private, where that was read', () => {
    expect(checkJoin('room', joinOf(true), { ...quiet, allowUser: () => false })).toMatchObject({ code: 'too-many-users', private: true })
    expect(checkJoin('room', joinOf(true), { ...quiet, draining: true })).not.toHaveProperty('private')
  })

  test.each([
    ['public:t:a=eq.1,b=eq.2', 'ok'],
    ['public:t:a=eq.1,b=eq.2,c=eq.3', 'too-many-conditions'],
    [`public:${'t'.repeat(256)}`, 'name-too-long'],
  ])('what a topic of an old client asks for is bound as well (rules J6, L12): %s', (subTopic, code) => {
    expect(codeOf({}, subTopic, {})).toBe(code)
  })
})
