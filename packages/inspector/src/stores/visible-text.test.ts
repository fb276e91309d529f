import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cutText, visibleText } from './visible-text.ts'

describe('visibleText', () => {
  test.each([
    ['plain <b>text</b> & "quotes"', 'plain <b>text</b> & "quotes"'],
    ['invoice\u202egpj.exe', 'invoice\\u202egpj.exe'],
    ['a\u2066b\u2069c', 'a\\u2066b\\u2069c'],
    ['zero\u200bwidth\ufeff', 'zero\\u200bwidth\\ufeff'],
    ['\u0000\u001b[31m\u007f\u0085', '\\u0000\\u001b[31m\\u007f\\u0085'],
    ['line\nbreak\ttab\u2028', 'line\\nbreak\\ttab\\u2028'],
    ['tag \u{e0041}', 'tag \\u{e0041}'],
    ['half \ud83d', 'half \\ud83d'],
    ['whole \u{1f30a} and \u2764\ufe0f', 'whole \u{1f30a} and \u2764\ufe0f'],
    ['العربية и 日本語', 'العربية и 日本語'],
  ])('writes out what is hidden in %j', (text, expected) => {
    expect(visibleText(text)).toBe(expected)
  })

  test('keeps lines where they are wanted, and nothing else', () => {
    expect(visibleText('a\n\tb\r\u202e', true)).toBe('a\n\tb\\u000d\\u202e')
  })

  test('leaves nothing hidden, whatever comes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
        expect(visibleText(text)).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u)
      }),
    )
  })
})

describe('cutText', () => {
  test('says how much it left out, and never halves a pair', () => {
    expect(cutText('short', 10)).toEqual({ text: 'short', more: 0 })
    expect(cutText('abcdef', 4)).toEqual({ text: 'abcd', more: 2 })
    expect(cutText('abc\u{1f30a}', 4)).toEqual({ text: 'abc', more: 2 })
  })
})
