import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { jsonText, spaced, stringText } from '../../test/arbitraries.ts'
import { seeded } from '../../test/seeded.ts'
import { allElementBytes, elementBytes, memberBytes } from './json-text.ts'

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
