import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatJson, isMap, JsonNumber, parseJson } from './json.ts'

test('numbers keep the digits they were written with', () => {
  expect(parseJson('[9007199254740993,1.0,-2.50e+3]')).toEqual([
    new JsonNumber('9007199254740993'),
    new JsonNumber('1.0'),
    new JsonNumber('-2.50e+3'),
  ])
})

test('digits and escapes inside strings are left alone', () => {
  expect(parseJson(String.raw`{"a\"1":"-5 \\","b":["\u0031"]}`)).toEqual({ 'a"1': '-5 \\', b: ['1'] })
})

test('text that is not JSON has no value', () => {
  for (const text of ['', '{', '{not json', 'payload":%{error: "x"}', '01', '"open']) expect(parseJson(text)).toBeUndefined()
})

test('a key named __proto__ is a key', () => {
  const value = parseJson('{"__proto__":{"a":1}}')!
  expect(isMap(value) && Object.keys(value)).toEqual(['__proto__'])
})

test('what is parsed is written as JSON with the same value', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = JSON.stringify(value)
      expect(JSON.parse(formatJson(parseJson(text)!, Infinity))).toEqual(JSON.parse(text))
    }),
  )
})
