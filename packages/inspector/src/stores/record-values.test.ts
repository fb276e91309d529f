import { describe, expect, test } from 'vitest'
import { recordValues } from './record-values.ts'

const values = (payload: string): Record<string, string> => Object.fromEntries(recordValues(payload))

describe('the values of a record', () => {
  test('are what stands there, also where a number would not hold it', () => {
    const record = '{"id":9223372036854775807,"who":"a \\"b\\" \\u00e9\\\\","at":"2026-01-02T00:00:00+00:00","done":false,"n":-1.5e3}'
    expect(values(`{"data":{"table":"t","record":${record},"columns":[{"name":"id"}]},"ids":[1]}`)).toEqual({
      id: '9223372036854775807',
      who: 'a "b" é\\',
      at: '2026-01-02T00:00:00+00:00',
      done: 'false',
      n: '-1.5e3',
    })
  })

  test('step over objects, lists and nulls, whatever stands in them', () => {
    const record = '{"doc":{"id":1,"x":"}\\"{","y":[{"id":2}]},"list":[1,[2],"]"],"none":null,"id":3}'
    expect(values(`{"record":${record}}`)).toEqual({ id: '3' })
  })

  test('of a deleted row are those of the old record', () => {
    expect(values('{"record":{},"old_record":{"id":7}}')).toEqual({ id: '7' })
    expect(values('{"old_record":{"id":7,"org":"x"}}')).toEqual({ id: '7', org: 'x' })
  })

  test.each([
    ['{"record":{"id":12', {}],
    ['{"record":{"org":"x","id":"ab', { org: 'x' }],
    ['{"record":{"org":"x","doc":{"id":1', { org: 'x' }],
    ['{"record":{"org":"x",', { org: 'x' }],
    ['{"record":{', {}],
    ['{"columns":[{"name":"record"}],"rec', {}],
    ['', {}],
  ])('of what was cut are those that are whole: %s', (payload, found) => {
    expect(values(payload)).toEqual(found)
  })

  test('take time in step with their length', () => {
    const startedAt = performance.now()
    for (const hostile of [
      '{"record":{"' + '\\'.repeat(100_000),
      `{"record":{"a":${'['.repeat(100_000)}`,
      `{"record":{${'"a":1,'.repeat(20_000)}`,
    ])
      recordValues(hostile)
    expect(performance.now() - startedAt).toBeLessThan(1_000)
  })
})
