import fc from 'fast-check'
import { expect, test } from 'vitest'
import { toArray, toChangePayload, toValue } from './change-values.ts'

test.each([
  ['bool', 't', true],
  ['bool', 'f', false],
  ['bool', 'x', 'x'],
  ['int8', '5', 5],
  ['numeric', '1.50', 1.5],
  ['int4', 'x', 'x'],
  ['jsonb', '{"a":1}', { a: 1 }],
  ['json', '{', '{'],
  ['timestamp', '2020-01-01 00:00:00', '2020-01-01T00:00:00'],
  ['timestamp', '0044-03-15T12:00:00 BC', '0044-03-15T12:00:00 BC'],
  ['timestamp', '0044-03-15 12:00:00 BC', '0044-03-15T12:00:00 BC'],
  ['timestamp', '12020-01-01 00:00:00', '12020-01-01T00:00:00'],
  ['timestamp', 'no date', 'no date'],
  ['timestamptz', '2020-01-01 00:00:00+00', '2020-01-01 00:00:00+00'],
  ['text', '5', '5'],
  [undefined, '5', '5'],
  ['int4', 5, 5],
  ['int4', null, null],
  ['_int4', '{1,2}', [1, 2]],
  ['_text', '{"a b",c}', ['a b', 'c']],
  ['_text', '{"a,b","c\\"d",NULL,"NULL"}', ['a,b', 'c"d', null, 'NULL']],
  [
    '_int4',
    '{{1,2},{3,NULL}}',
    [
      [1, 2],
      [3, null],
    ],
  ],
  ['_text', '{}', []],
  ['_int4', '[0:1]={1,2}', '[0:1]={1,2}'],
  ['_int4', '{1,2', '{1,2'],
])('%s %j', (type, value, wanted) => {
  expect(toValue(type, value)).toEqual(wanted)
})

test('array texts: round trip, and anything at all', () => {
  const item = fc.oneof(fc.string(), fc.constant(null))
  const text = (items: readonly (string | null)[]): string =>
    `{${items.map((one) => (one === null ? 'NULL' : `"${one.replace(/[\\"]/g, '\\$&')}"`)).join(',')}}`
  fc.assert(
    fc.property(fc.array(item), (items) => {
      expect(toArray('text', text(items))).toEqual(items)
    }),
  )
  fc.assert(fc.property(fc.string(), (any) => void toArray('int4', any)))
})

test('a change as listeners get it', () => {
  const base = { schema: 'public', table: 't', commit_timestamp: 'T', errors: null, columns: [{ name: 'id', type: 'int8' }] }
  expect(toChangePayload({ ...base, type: 'INSERT', record: { id: '5', other: 'x' } })).toEqual({
    schema: 'public',
    table: 't',
    commit_timestamp: 'T',
    eventType: 'INSERT',
    new: { id: 5, other: 'x' },
    old: {},
    errors: null,
  })
  expect(toChangePayload({ ...base, type: 'DELETE', old_record: { id: 5 } })).toMatchObject({ new: {}, old: { id: 5 } })
  expect(toChangePayload({ ...base, type: 'UPDATE', record: { id: 6 }, old_record: { id: 5 } })).toMatchObject({
    new: { id: 6 },
    old: { id: 5 },
  })
})

test.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', '0'])(
  'a column called %s is a property of the row like any other',
  (name) => {
    const data = JSON.parse(
      `{"type":"UPDATE","schema":"s","table":"t","commit_timestamp":null,"errors":null,"columns":[{"name":"${name}","type":"jsonb"}],"record":{"${name}":{"admin":true}},"old_record":{"${name}":null}}`,
    ) as Parameters<typeof toChangePayload>[0]
    const change = toChangePayload(data)
    expect(Object.entries(change.new)).toEqual([[name, { admin: true }]])
    expect(Object.entries(change.old)).toEqual([[name, null]])
    expect(Object.getPrototypeOf(change.new)).toBe(Object.prototype)
    expect((change.new as { admin?: unknown }).admin).toBeUndefined()
  },
)
