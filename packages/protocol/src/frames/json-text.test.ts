import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { jsonText, spaced, stringText } from '../../test/arbitraries.ts'
import { seeded } from '../../test/seeded.ts'
import { allElementBytes, elementBytes, memberBytes, membersBytes } from './json-text.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
const textOf = (bytes: Uint8Array | undefined): string | undefined => (bytes === undefined ? undefined : new TextDecoder().decode(bytes))

describe('elementBytes', () => {
  test('cuts every element of any array out as it was written', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(jsonText, spaced(fc.constant('')), spaced(fc.constant(''))), { minLength: 1, maxLength: 6 }),
        (elements) => {
          const array = bytesOf(` [${elements.map(([text, before, after]) => before + text + after).join(',')}]\n`)
          expect(allElementBytes(array).map(textOf)).toEqual(elements.map(([text]) => text))
          elements.forEach(([text], index) => expect(textOf(elementBytes(array, index, elements.length))).toBe(text))
        },
      ),
      seeded('elementBytes', 2000),
    )
  })

  test.each(['[]', ' [ \n] '])('an empty array has none: %j', (text) => {
    expect(allElementBytes(bytesOf(text))).toEqual([])
  })

  test('an array may begin without white space', () => {
    expect(allElementBytes(bytesOf('[1,2]')).map(textOf)).toEqual(['1', '2'])
    expect(textOf(elementBytes(bytesOf('[1,2]'), 0, 2))).toBe('1')
  })

  test('the bytes are a window on the frame, not a copy', () => {
    const array = bytesOf('[1,{"a":2}]')
    expect(elementBytes(array, 1, 2).buffer).toBe(array.buffer)
  })
})

describe('memberBytes', () => {
  test('finds the member that JSON.parse would return, as it was written', () => {
    const member = fc.tuple(
      fc.oneof(stringText, fc.constantFrom('"payload"', String.raw`"p\u0061yload"`, String.raw`"payloa\u0064"`, '"payloa"', '"payloadx"')),
      jsonText,
    )
    fc.assert(
      fc.property(fc.array(fc.tuple(member, spaced(fc.constant('')), spaced(fc.constant(''))), { maxLength: 6 }), (members) => {
        const object = ` {${members.map(([[key, text], before, after]) => `${before}${key}${after}:${before}${text}${after}`).join(',')}} `
        const last = members.findLast(([[key]]) => JSON.parse(key) === 'payload')
        expect(textOf(memberBytes(bytesOf(object), 'payload'))).toBe(last?.[0][1])
        expect(JSON.stringify(last === undefined ? undefined : JSON.parse(last[0][1]))).toBe(JSON.stringify(JSON.parse(object).payload))
      }),
      seeded('memberBytes', 2000),
    )
  })

  test('reads an escaped key, and one that begins the object', () => {
    expect(textOf(memberBytes(bytesOf(String.raw`{"a\/b":1}`), 'a/b'))).toBe('1')
  })
})

describe('membersBytes', () => {
  test('finds several members in one pass, the last of each name; escapes in keys count as what they stand for', () => {
    const object = bytesOf(String.raw`{ "a" : 1 , "b":{"a":2},"\u0061":[ 3 ],"c":"4" }`)
    expect(membersBytes(object, ['a', 'b', 'd']).map(textOf)).toEqual(['[ 3 ]', '{"a":2}', undefined])
    expect(membersBytes(bytesOf('{}'), ['a'])).toEqual([undefined])
  })

  test('long strings end where they end, with quotes and backslashes anywhere in them', () => {
    for (const part of ['"', '\\', '\\"', '\\\\', '""""', 'é'])
      for (let before = 55; before <= 70; before++) {
        const text = `${'x'.repeat(before)}${part.repeat(3)}${'y'.repeat(before)}${part}`
        const object = bytesOf(JSON.stringify({ [text]: 1, text, last: 2 }))
        expect(membersBytes(object, ['text', 'last']).map(textOf)).toEqual([JSON.stringify(text), '2'])
        expect(textOf(memberBytes(object, 'last'))).toBe('2')
      }
    const many = JSON.stringify({ text: `${'x'.repeat(100)}"`.repeat(50_000), last: 2 })
    expect(textOf(memberBytes(bytesOf(many), 'last'))).toBe('2')
  })
})
