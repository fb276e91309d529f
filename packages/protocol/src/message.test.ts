import { describe, expect, test } from 'vitest'
import { isBroadcastPayload } from './payloads/broadcast.ts'
import { RealtimeError } from './faults/error.ts'
import { isJsonObject } from './message.ts'
import { subTopicOf, wireTopic } from './topic.ts'
import { parseVersion } from './frames/version.ts'

describe('versions', () => {
  test.each([
    [undefined, '1.0.0'],
    [null, '1.0.0'],
    ['1.0.0', '1.0.0'],
    ['1.0.7', '1.0.0'],
    ['2.0.0', '2.0.0'],
    ['2.0.13', '2.0.0'],
  ])('%s is %s', (asked, version) => {
    expect(parseVersion(asked)).toBe(version)
  })

  test.each(['', '1', '2.0', '1.1.0', '3.0.0', '2.0.0.0', '2.0.x', '2.0.01', ' 2.0.0', '2.0.0\n', '٢.0.0', '2.0.-1', 'v2.0.0'])(
    '%j is none',
    (asked) => {
      expect(parseVersion(asked)).toBeNull()
    },
  )
})

describe('topics', () => {
  test.each([
    ['realtime:room', 'room'],
    ['realtime:a:b:c', 'a:b:c'],
    ['realtime:realtime:a', 'realtime:a'],
    ['realtime:', ''],
    ['realtime', null],
    ['Realtime:a', null],
    [' realtime:a', null],
    ['phoenix', null],
    ['', null],
  ])('%j names %j', (topic, subTopic) => {
    expect(subTopicOf(topic)).toBe(subTopic)
    if (subTopic !== null) expect(wireTopic(subTopic)).toBe(topic)
  })
})

test.each([
  [{}, true],
  [{ a: 1 }, true],
  [[], false],
  [null, false],
  ['{}', false],
  [undefined, false],
])('%j as a JSON object: %s', (value, is) => {
  expect(isJsonObject(value)).toBe(is)
})

test.each([
  [{ type: 'broadcast', event: 'e', payload: {} }, true],
  [{ event: 'e', payload: undefined }, true],
  [{ event: 'e' }, false],
  [{ event: 1, payload: {} }, false],
  [[], false],
  [null, false],
])('%j as a broadcast: %s', (value, is) => {
  expect(isBroadcastPayload(value)).toBe(is)
})

test('an error carries its code, its cause and whether to try again', () => {
  const cause = new Error('why')
  const error = new RealtimeError('timeout', 'no reply within 10 s; check the connection', { cause, retryable: true })
  expect(error).toBeInstanceOf(Error)
  expect(error).toMatchObject({ name: 'RealtimeError', code: 'timeout', retryable: true, cause })
  expect(new RealtimeError('bad-option', 'x')).toMatchObject({ retryable: false })
  expect(new RealtimeError('bad-option', 'x')).not.toHaveProperty('cause')
})
