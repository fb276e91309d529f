import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Failure } from './failure.ts'
import { parseCount, parseDuration, parseJson, parseJsonObject, parsePort, parseTimeout, postgresUrl } from './values.ts'

describe('parseDuration', () => {
  test.each([
    ['1s', 1],
    ['90s', 90],
    ['15m', 900],
    ['1h', 3600],
    ['7d', 604_800],
    ['2w', 1_209_600],
    ['1y', 31_536_000],
  ])('%s is %i seconds', (text, seconds) => expect(parseDuration(text)).toBe(seconds))

  test.each(['', '0s', '1', 'h', '1.5h', '-1h', '1H', ' 1h', '1h ', '1h30m', '1e3s', '9999999999s', '1ms'])('%j is none', (text) =>
    expect(parseDuration(text)).toBeNull(),
  )
})

describe('parsePort', () => {
  test.each([
    ['0', 0],
    ['4000', 4000],
    ['65535', 65_535],
  ])('%s', (text, port) => expect(parsePort(text)).toBe(port))

  test.each(['', '65536', '-1', '4000.5', 'http', '0x10', ' 1', '1e3', '999999'])('%j is a wrong usage that is named', (text) => {
    expect(() => parsePort(text)).toThrow(expect.objectContaining({ exitCode: 2, message: expect.stringContaining(JSON.stringify(text)) }))
  })
})

test.each(['0', '', '-1', 'x', '1.5', '01', '1000000000'])('parseCount refuses %j', (text) => {
  expect(() => parseCount('--count', text)).toThrow(/--count must be a whole number above 0/)
})

test('parseTimeout gives milliseconds, and refuses more than an hour', () => {
  expect(parseTimeout('--timeout', '10s')).toBe(10_000)
  for (const text of ['', '10', '2h', '0s']) expect(() => parseTimeout('--timeout', text)).toThrow('--timeout must be a duration up to 1h')
})

test.each([
  ['postgres://u:p@h:5432/n', true],
  ['postgresql:///n', true],
  ['postgres://', false],
  ['http://h', false],
  ['host=h', false],
  ['postgres://h:port/n', false],
])('%j is a URL of a Postgres: %s', (text, is) => expect(postgresUrl(text)).toBe(is ? text : undefined))

describe('parseJson', () => {
  test.each([
    ['{"a":x}', 1, 6, "Unexpected token 'x'"],
    ['\'{"a":1}\'', 1, 1, "Unexpected token '''"],
    ['{"a":1,}', 1, 8, 'Expected double-quoted property name'],
    ['{a:1}', 1, 2, "Expected property name or '}'"],
    ['', 1, 1, 'Unexpected end of JSON input'],
    ['{"a":"b', 1, 8, 'Unterminated string'],
    ['{"a":1}}', 1, 8, 'Unexpected non-whitespace character after JSON'],
    ['{\n  "a": 1,\n  "b": oops\n}', 3, 8, "Unexpected token 'o'"],
    [`{"long":"${'x'.repeat(500)}","b":?}`, 1, 516, "Unexpected token '?'"],
  ])('%j has its fault at line %i, column %i', (text, line, column, detail) => {
    expect(parseJson(text)).toEqual({ ok: false, fault: { line, column, detail } })
  })

  test('finds a wrong character wherever it stands', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue(), { minLength: 1 }), fc.nat(), (values, seed) => {
        const texts = values.map((value) => JSON.stringify(value))
        const at = seed % texts.length
        const before = `[${[...texts.slice(0, at), ''].join(',')}`
        const parsed = parseJson(`${before}@${texts.slice(at).join(',')}]`)
        expect(parsed).toMatchObject({ ok: false, fault: { line: 1, column: before.length + 1 } })
      }),
    )
  })

  test('takes whatever is JSON', () => {
    fc.assert(fc.property(fc.json(), (text) => parseJson(text).ok))
  })
})

describe('parseJsonObject', () => {
  test('gives the object', () => expect(parseJsonObject('PAYLOAD', '{"a":[1]}')).toEqual({ a: [1] }))

  test.each(['[]', 'null', '1', '"text"', 'true'])('refuses %s with an example', (text) => {
    expect(() => parseJsonObject('PAYLOAD', text)).toThrow('PAYLOAD must be a JSON object, such as {"a":1}.')
  })

  test('names the position of a fault', () => {
    const attempt = (): unknown => parseJsonObject('--claims', '{"a":')
    expect(attempt).toThrow(Failure)
    expect(attempt).toThrow('--claims is not JSON: Unexpected end of JSON input (line 1, column 6).')
  })
})
