import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Histogram, quantileOf } from './histogram.ts'

const histogram = { boundsMs: [1, 2, 4], counts: [0, 4, 4, 2] }

test.each([
  [0.2, 1.5],
  [0.4, 2],
  [0.6, 3],
  [1, 4],
])('lies between the bounds of its class: %d', (share, value) => {
  expect(quantileOf(histogram, share)).toBe(value)
})

test('is no longer than the longest, which also bounds the class above all bounds', () => {
  expect(quantileOf(histogram, 1, 10)).toBe(10)
  expect(quantileOf({ ...histogram, counts: [4, 0, 0, 0] }, 0.5, 0.5)).toBe(0.25)
})

test('of nothing is the last bound', () => {
  expect(quantileOf({ boundsMs: [1, 2], counts: [0, 0, 0] }, 0.5)).toBe(2)
  expect(quantileOf({ boundsMs: [], counts: [] }, 0.5)).toBe(0)
})

test('counts each value in the class whose bounds it lies between', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer()), fc.array(fc.integer()), (unordered, values) => {
      const bounds = unordered.toSorted((a, b) => a - b)
      const observed = new Histogram(bounds)
      for (const value of values) observed.observe(value)
      const classOf = (value: number): number => bounds.filter((bound) => bound < value).length
      expect([...observed.counts]).toEqual([...bounds, 0].map((_, at) => values.filter((value) => classOf(value) === at).length))
      expect(observed.size).toBe(values.length)
      expect(observed.sum).toBe(values.reduce((sum, value) => sum + value, 0))
      expect(observed.longest).toBe(Math.max(0, ...values))
    }),
  )
})
