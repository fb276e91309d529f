import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { seeded } from '../../test/seeded.ts'
import { isPlain, JsonScanner, scanJson } from './json-scan.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const scan = (text: string, maxDepth = 512) => scanJson(bytes(text), { maxDepth, plain: isPlain(bytes(text)) })

function parses(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

describe('scanJson', () => {
  test('counts members and elements, at every level', () => {
    expect(scan('1')).toEqual({ ok: true, values: 0, length: 0 })
    expect(scan('[]')).toEqual({ ok: true, values: 0, length: 0 })
    expect(scan(' [ 1 , "a" , [ ] , { } ] ')).toEqual({ ok: true, values: 4, length: 4 })
    expect(scan('{"a":{"b":[1,2,3]},"c":null}')).toEqual({ ok: true, values: 6, length: 2 })
  })

  test.each([
    ['at the limit', '['.repeat(10) + ']'.repeat(10), true],
    ['one over it', '['.repeat(11) + ']'.repeat(11), false],
    ['objects count as well', `${'{"a":['.repeat(6)}${']}'.repeat(6)}`, false],
    ['side by side is not deep', `[${'[1],'.repeat(50)}[]]`, true],
    ['brackets in strings do not count', JSON.stringify(['['.repeat(50), String.raw`\"[[[[[[[[[[[[[`]), true],
  ])('depth: %s', (_, text, ok) => expect(scan(text, 10).ok).toBe(ok))

  test('property: depth and values agree with the parsed value', () => {
    const isContainer = (value: unknown): value is object => typeof value === 'object' && value !== null
    const depthOf = (value: unknown): number => (isContainer(value) ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0)
    const valuesIn = (value: unknown): number =>
      isContainer(value) ? Object.values(value).reduce((sum: number, inner) => sum + 1 + valuesIn(inner), 0) : 0
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), fc.nat(6), (value, limit) => {
        const expected =
          depthOf(value) > limit
            ? { ok: false, code: 'too-deep' }
            : { ok: true, values: valuesIn(value), length: isContainer(value) ? Object.keys(value).length : 0 }
        expect(scan(JSON.stringify(value), limit)).toEqual(expected)
      }),
      seeded('scanJson', 1_000),
    )
  })

  test('property: in parts of any size it finds the same', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), fc.integer({ min: 0, max: 20 }), fc.nat(30), (text, bytesEach, cut) => {
        for (const data of [bytes(text), bytes(text.slice(0, cut))]) {
          const whole: number[] = []
          const options = { maxDepth: 4, plain: isPlain(data) }
          const expected = scanJson(data, { ...options, parts: whole })
          const parts: number[] = []
          const scanner = new JsonScanner(data, { ...options, parts })
          let found = scanner.scan(bytesEach)
          for (let left = text.length + 2; found === null && left > 0; left--) found = scanner.scan(Math.max(1, bytesEach))
          expect([found, parts]).toEqual([expected, whole])
        }
      }),
      seeded('scanJson in parts', 2_000),
    )
  })

  test('property: bytes are plain if none is a backslash or below a blank, wherever they stand', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0x10, max: 0xff }), { maxLength: 40 }), fc.nat(5), (list, before) => {
        const data = Uint8Array.from([...Array.from({ length: before }, () => 1), ...list, 1]).subarray(before, before + list.length)
        expect(isPlain(data)).toBe(list.every((byte) => byte >= 0x20 && byte !== 0x5c))
      }),
      seeded('isPlain', 2_000),
    )
  })

  test.each(['a', 'é', '😀', String.raw`\"`, String.raw`\u0041`, '\n', '\u0001'])('long strings, with %j somewhere', (part) => {
    for (const before of [0, 1, 62, 63, 64, 65, 66, 200])
      for (const text of [
        `["${'x'.repeat(before)}${part}${'x'.repeat(100)}",1]`,
        `{"${'x'.repeat(before)}${part}${'x'.repeat(100)}":1}`,
        `["${'x'.repeat(before)}${part}${'x'.repeat(100)}`,
      ])
        expect([text, scan(text).ok]).toEqual([text, parses(text)])
  })

  test('says where the parts of the outermost value stand', () => {
    const partsOf = (text: string): string[][] => {
      const parts: number[] = []
      const data = bytes(text)
      expect(scanJson(data, { maxDepth: 512, parts }).ok).toBe(true)
      return Array.from({ length: parts.length / 3 }, (_, at) => [
        text.slice(parts[at * 3], parts[at * 3 + 1]),
        text.slice(parts[at * 3 + 1], parts[at * 3 + 2]),
      ])
    }
    expect(partsOf('1')).toEqual([])
    expect(partsOf(' [ ] ')).toEqual([])
    expect(partsOf(' [ 1 , [ 2 , {} ] ,"a" ] ')).toEqual([
      ['', '1'],
      ['', '[ 2 , {} ]'],
      ['', '"a"'],
    ])
    expect(partsOf('{"a" : {"b":[1,2]} ,"c":-1}')).toEqual([
      ['"a" : ', '{"b":[1,2]}'],
      ['"c":', '-1'],
    ])
  })

  test('so many parts: at the limit, and one above it; inner ones do not count', () => {
    for (const text of ['[1,[1,2,3,4],3]', '{"a":1,"b":[1,2,3,4],"c":3}']) {
      expect(scanJson(bytes(text), { maxDepth: 9, maxParts: 3 }).ok).toBe(true)
      expect(scanJson(bytes(text), { maxDepth: 9, maxParts: 2 })).toEqual({ ok: false, code: 'too-many-parts' })
    }
  })

  test('depth: at the limit, and one above it', () => {
    expect(scan('[[[]]]', 3)).toEqual({ ok: true, values: 2, length: 1 })
    expect(scan('[[{"a":[]}]]', 3)).toEqual({ ok: false, code: 'too-deep' })
  })

  test.each([
    '',
    '{',
    '[1,]',
    '{"a"}',
    '{"a":}',
    '{a:1}',
    '[1}',
    '01',
    '-',
    '1.',
    '.5',
    '1e',
    '+1',
    'tru',
    '"\\x"',
    '"\\u12g4"',
    '"\n"',
    '"',
    '1 2',
  ])('malformed: %j', (text) => expect(scan(text)).toEqual({ ok: false, code: 'malformed-json' }))

  test('property: takes what JSON.parse takes', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), (text) => scan(text).ok),
      seeded('scanJson good', 1_000),
    )
  })

  test('property: of broken JSON, and of tokens in any order, refuses what JSON.parse refuses', () => {
    const token = fc.constantFrom(
      ...'[]{},:"\\/ \n\t\u0001e+-.0123456789tfnulrasbd'.split(''),
      'true',
      'null',
      '"a"',
      '\\u00e9',
      'é',
      '-1e5',
      '0.5',
    )
    const soup = fc.array(token, { maxLength: 12 }).map((tokens) => tokens.join(''))
    const broken = fc
      .tuple(fc.json({ maxDepth: 3 }), fc.nat(), token)
      .map(([text, at, with_]) => text.slice(0, at % (text.length + 1)) + with_ + text.slice((at % (text.length + 1)) + 1))
    fc.assert(
      fc.property(fc.oneof(soup, broken), (text) => scan(text).ok === parses(text)),
      seeded('scanJson broken', 5_000),
    )
  })
})
