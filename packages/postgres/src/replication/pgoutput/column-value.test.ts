import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { columnWriter, type ValueType } from './column-value.ts'

const scalar = (kind: 'text' | 'bool' | 'number' | 'float' | 'timestamp' | 'timestamptz' | 'json' | 'jsonb' | 'bytea'): ValueType => ({
  kind,
})
const arrayOf = (element: ValueType, delimiter = ','): ValueType => ({ kind: 'array', element, delimiter })
const row: ValueType = {
  kind: 'row',
  fields: [
    { name: 'long', type: scalar('text') },
    { name: 'a', type: scalar('number') },
  ],
}

const TYPES: readonly ValueType[] = [
  ...(['text', 'bool', 'number', 'float', 'timestamp', 'timestamptz', 'bytea', 'json'] as const).map(scalar),
  arrayOf(scalar('jsonb')),
  arrayOf(scalar('number')),
  arrayOf(arrayOf(scalar('text')), ';'),
  { kind: 'vector', element: scalar('number') },
  row,
  arrayOf(row),
  { kind: 'domain', base: row },
  { kind: 'cast', name: 'x.y' },
]

describe('the type table', () => {
  test.each<[ValueType, string, string]>([
    [scalar('number'), '9007199254740993', '9007199254740993'],
    [scalar('number'), '5.00', '5.00'],
    [scalar('number'), 'NaN', 'null'],
    [scalar('float'), '-Infinity', 'null'],
    [scalar('float'), '1e+20', '100000000000000000000'],
    [scalar('float'), '-1.5e-07', '-0.00000015'],
    [scalar('float'), '-0', '0'],
    [scalar('bool'), 't', 'true'],
    [scalar('timestamp'), '2024-02-29 12:34:56.789', '"2024-02-29T12:34:56.789"'],
    [scalar('timestamp'), 'infinity', '"infinity"'],
    [scalar('timestamptz'), '2024-02-29 10:34:56.789+00', '"2024-02-29T10:34:56.789+00:00"'],
    [scalar('timestamptz'), '0044-03-15 10:00:00+00 BC', '"0044-03-15T10:00:00+00:00 BC"'],
    [scalar('timestamptz'), '2024-02-29 10:34:56+05:30', '"2024-02-29T10:34:56+05:30"'],
    [scalar('timestamptz'), '-infinity', '"-infinity"'],
    [scalar('bytea'), '\\xdeadbeef', '"deadbeef"'],
    [scalar('json'), '{"a": 1,  "b":[1,2]}', '{"a": 1, "b": [1, 2]}'],
    [scalar('jsonb'), '{"a": 1.50}', '{"a": 1.50}'],
    [scalar('text'), 'a "b"\n', '"a \\"b\\"\\n"'],
    [arrayOf(scalar('number')), '{1,NULL,NaN}', '[1, null, "NaN"]'],
    [arrayOf(scalar('number')), '[0:1][1:1]={{1},{2}}', '[[1], [2]]'],
    [arrayOf(scalar('text')), '{a,"b,c",NULL,"NULL","\\"\\\\"}', '["a", "b,c", null, "NULL", "\\"\\\\"]'],
    [arrayOf(scalar('bytea')), '{"\\\\xde"}', '["\\\\xde"]'],
    [arrayOf(scalar('text'), ';'), '{(1,2);(3,4)}', '["(1,2)", "(3,4)"]'],
    [arrayOf(scalar('text')), '{}', '[]'],
    [{ kind: 'vector', element: scalar('number') }, '1 2', '[1, 2]'],
    [{ kind: 'vector', element: scalar('number') }, '', '[]'],
    [row, '("x ""y"" \\\\",7)', '{"long": "x \\"y\\" \\\\", "a": 7}'],
    [row, '(,)', '{"long": null, "a": null}'],
    [{ kind: 'row', fields: [] }, '()', '{}'],
    [{ kind: 'domain', base: scalar('float') }, 'NaN', '"NaN"'],
  ])('%j %s', (type, text, json) => expect(columnWriter(type)(text)).toBe(json))
})

test('a text that does not fit its type becomes a string', () => {
  for (const text of ['', '{', '{1', '{1,', '{1}}', '{1}x', '1', '[0:1]', '"', '{"a', '(', '(1', '(1,2,3)', '(1', 'x', '(1)']) {
    expect(columnWriter(arrayOf(scalar('text')))(text)).toBe(JSON.stringify(text))
    expect(columnWriter(row)(text)).toBe(JSON.stringify(text))
  }
})

test('whatever the text, what comes out is JSON and nothing is thrown', () => {
  const marks = fc
    .array(fc.constantFrom('{', '}', '(', ')', ',', ';', '"', '\\', '[', ']', '=', ' ', 'NULL', '1', 'e', '.', '-', 'a', 'é'), {
      maxLength: 20,
    })
    .map((all) => all.join(''))
  fc.assert(
    fc.property(fc.constantFrom(...TYPES), fc.oneof(marks, fc.string()), (type, text) => {
      JSON.parse(columnWriter(type)(text))
      expect(columnWriter(type)(text)).not.toBe('')
    }),
    { numRuns: 2_000 },
  )
})

test('large arrays take time in proportion', () => {
  const text = `{${Array.from({ length: 300_000 }, (_, index) => index).join(',')}}`
  expect(columnWriter(arrayOf(scalar('number')))(text)).toHaveLength(text.length + 299_999)
})
