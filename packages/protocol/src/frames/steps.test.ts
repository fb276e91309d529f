import { describe, expect, test } from 'vitest'
import { allSteps, forwardFault, utf8Steps, type Steps } from './steps.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

function counted<T>(steps: Steps<T>): { readonly result: T; readonly count: number } {
  for (let count = 1; ; count++) {
    const step = steps.next()
    if (step.done) return { result: step.value, count }
  }
}

describe('text in steps', () => {
  const STEP = 131_072

  test.each(['é', '€', '😀'])('no character is cut: %s', (character) => {
    for (let before = STEP - 5; before <= STEP + 1; before++)
      expect(allSteps(utf8Steps(bytes('a'.repeat(before) + character.repeat(3))))).toEqual({ plain: true })
  })

  test('what is no UTF-8 is found on both sides of a cut', () => {
    for (let at = STEP - 5; at <= STEP + 3; at++)
      for (const wrong of [[0x80], [0xc3], [0xe2, 0x82], [0xf0, 0x9f, 0x98], [0xff], [0xbf, 0xbf, 0xbf, 0xbf, 0xbf]]) {
        const data = bytes('a'.repeat(STEP + 10))
        data.set(wrong, at)
        expect(allSteps(utf8Steps(data))).toBeUndefined()
        expect(allSteps(utf8Steps(data.subarray(0, at + wrong.length)))).toBeUndefined()
      }
  })

  test('one backslash or control character anywhere makes it not plain', () => {
    for (const at of [0, STEP - 1, STEP, STEP + 1, 2 * STEP + 9])
      for (const byte of [0x5c, 0x0a]) {
        const data = bytes('a'.repeat(2 * STEP + 10))
        data[at] = byte
        expect(allSteps(utf8Steps(data))).toEqual({ plain: false })
      }
  })

  test('a megabyte of JSON takes many steps, whatever it holds', () => {
    for (const part of ['1,', '[],', '{"a":1},', '"abc",', String.raw`"\\n",`, '{"a":[{"b":{}}]},']) {
      const { result, count } = counted(forwardFault(bytes(`[${part.repeat(1_000_000 / part.length)}1]`)))
      expect(result).toBeNull()
      expect(count).toBeGreaterThanOrEqual(14)
    }
  })
})
