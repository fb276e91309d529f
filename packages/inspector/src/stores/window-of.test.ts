import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isAtEnd, mostDrawn, scrollToRow, windowOf } from './window-of.ts'

test('draws what can be seen, with a margin', () => {
  expect(windowOf(10_000, 24, 0, 480, false)).toEqual({ from: 0, to: 32 })
  expect(windowOf(10_000, 24, 24_000, 480, false)).toEqual({ from: 988, to: 1_032 })
  expect(windowOf(3, 24, 0, 480, false)).toEqual({ from: 0, to: 3 })
  expect(windowOf(0, 24, 500, 480, false)).toEqual({ from: 0, to: 0 })
  // A thousand rows went, and the list has not been scrolled since.
  expect(windowOf(10_000, 24, 263_520, 480, false)).toEqual({ from: 9_968, to: 10_000 })
})

test('draws a smaller margin while it follows', () => {
  expect(windowOf(10_000, 24, 239_520, 480, true)).toEqual({ from: 9_976, to: 10_000 })
})

test('never draws more than fits, nor rows that there are not', () => {
  fc.assert(
    fc.property(fc.nat(20_000), fc.nat(1_000_000), fc.nat(2_000), fc.boolean(), (total, top, height, follows) => {
      const { from, to } = windowOf(total, 24, top, height, follows)
      expect(from).toBeGreaterThanOrEqual(0)
      expect(to).toBeGreaterThanOrEqual(from)
      expect(to).toBeLessThanOrEqual(total)
      expect(to - from).toBeLessThanOrEqual(mostDrawn(24, height))
    }),
  )
})

test('knows its end, give or take a row', () => {
  expect(isAtEnd(1_000, 480, 1_480, 24)).toBe(true)
  expect(isAtEnd(980, 480, 1_480, 24)).toBe(true)
  expect(isAtEnd(900, 480, 1_480, 24)).toBe(false)
})

test('scrolls no further than it must', () => {
  expect(scrollToRow(5, 24, 0, 480)).toBe(0)
  expect(scrollToRow(30, 24, 0, 480)).toBe(264)
  expect(scrollToRow(2, 24, 240, 480)).toBe(48)
})
