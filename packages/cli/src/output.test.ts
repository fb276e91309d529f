import fc from 'fast-check'
import { expect, test } from 'vitest'
import { visible } from './output.ts'

test.each([
  ['plain text, ünïcode 👋', 'plain text, ünïcode 👋'],
  ['\u001b[2Jgone', '\\u001b[2Jgone'],
  ['a\r\nb', 'a\\u000d\\u000ab'],
  ['\u009b31m', '\\u009b31m'],
  ['\u202egnp.exe', '\\u202egnp.exe'],
  ['zero\u200bwidth', 'zero\\u200bwidth'],
])('%j is shown as %j', (text, shown) => expect(visible(text)).toBe(shown))

test('long texts are cut', () => {
  expect(visible('x'.repeat(300))).toHaveLength(200)
  expect(visible('abcdef', 4)).toBe('abc…')
})

// oxlint-disable-next-line no-control-regex
const OBEYED = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/

test('nothing that a terminal obeys comes through', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => !OBEYED.test(visible(text))))
})
