import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compareKeys, jsonbText } from './json-text.ts'

describe('jsonbText', () => {
  test.each([
    [' { "b" : 1 , "a":[ ] , "a" : { } } ', '{"a": {}, "b": 1}'],
    ['{"aa":1,"b":2,"é":3,"B":4}', '{"B": 4, "b": 2, "aa": 1, "é": 3}'],
    ['[1,2 ,[3, {"x":null}]]', '[1, 2, [3, {"x": null}]]'],
    ['1.50', '1.50'],
    ['1E5', '100000'],
    ['-1.25e-3', '-0.00125'],
    ['-0.0', '0.0'],
    ['9007199254740993', '9007199254740993'],
    ['"\\u00e9\\/\\n"', '"é/\\n"'],
    ['"a\\\\"', '"a\\\\"'],
    ['true', 'true'],
    ['null', 'null'],
  ])('%s', (json, jsonb) => expect(jsonbText(json)).toBe(jsonb))

  test.each(['"\\u0000"', '"\\ud800"', '{"\\udc00":1}', '1e131073', '1e-20000', '[1,"\\u0000"]'])('%s is more than jsonb holds', (json) =>
    expect(jsonbText(json)).toBeNull(),
  )

  test.each([
    '',
    ' ',
    '{',
    '}',
    '[',
    '[1',
    '[1,',
    '[1,]',
    '{"a"',
    '{"a":',
    '{"a":1',
    '{"a":1,}',
    '{a:1}',
    '1 2',
    'tru',
    '"a',
    '"\\',
    '01x',
    '[1}',
    '{"a":1]',
    "'a'",
  ])('%s is not JSON', (json) => expect(jsonbText(json)).toBeNull())

  test('keeps the meaning of any JSON and is the same the second time', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'grapheme-composite', maxDepth: 4 }), fc.constantFrom(0, 1), (value, indent) => {
        const jsonb = jsonbText(JSON.stringify(value, null, indent))
        if (jsonb === null) throw new Error('refused')
        expect(JSON.parse(jsonb)).toEqual(JSON.parse(JSON.stringify(value)))
        expect(jsonbText(jsonb)).toBe(jsonb)
      }),
    )
  })

  test('throws at nothing', () => {
    const junk = fc
      .array(fc.constantFrom('{', '}', '[', ']', ',', ':', '"', '\\', 'u', '0', '1', 'e', '-', '.', 'true', ' ', 'é'), { maxLength: 30 })
      .map((all) => all.join(''))
    fc.assert(fc.property(fc.oneof(fc.string(), junk), (text) => ['string', 'object'].includes(typeof jsonbText(text))))
  })

  test('nests as deep as the text does', () => {
    const deep = 200_000
    expect(jsonbText('['.repeat(deep) + ']'.repeat(deep))).toBe('['.repeat(deep) + ']'.repeat(deep))
    expect(jsonbText('['.repeat(deep))).toBeNull()
  })

  test('does not let a short text become a huge one', () => {
    expect(jsonbText(`[${Array.from({ length: 7 }, () => '1e131071').join(',')}]`)).toHaveLength(7 * 131_072 + 14)
    expect(jsonbText(`[${Array.from({ length: 1_000 }, () => '1e131071').join(',')}]`)).toBeNull()
  })
})

test('keys are ordered by bytes, not by UTF-16', () => {
  const byBytes = (one: string, other: string): number =>
    Buffer.byteLength(one) - Buffer.byteLength(other) || Buffer.compare(Buffer.from(one), Buffer.from(other))
  expect(compareKeys('ｚ', '😀')).toBeLessThan(0)
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (one, other) => {
      expect(Math.sign(compareKeys(one, other))).toBe(Math.sign(byBytes(one, other)))
    }),
  )
})
