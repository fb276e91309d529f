import { describe, expect, test } from 'vitest'
import { ago, bytes, clock, count, dateTime, fromNow, milliseconds } from './format.ts'

describe('numbers in a narrow column', () => {
  test.each([
    [0, '0'],
    [9_999, '9999'],
    [12_345, '12k'],
    [999_499, '999k'],
    [999_500, '1.0M'],
    [12_000_000, '12M'],
    [3_000_000_000, '3.0G'],
  ])('counts %d', (value, expected) => expect(count(value)).toBe(expected))

  test.each([
    [0, '0 B'],
    [1_023, '1023 B'],
    [1_024, '1.0 kB'],
    [3 * 1_024 ** 2, '3.0 MB'],
    [1_024 ** 5, '1024 TB'],
  ])('weighs %d', (value, expected) => expect(bytes(value)).toBe(expected))

  test.each([
    [0.184, '0.18 ms'],
    [1.26, '1.3 ms'],
    [12.6, '13 ms'],
    [1_500, '1.5 s'],
  ])('times %d', (value, expected) => expect(milliseconds(value)).toBe(expected))

  test('says how long ago, and never the future', () => {
    expect([0, 59_000, 61_000, 7_300_000, 180_000_000].map((passed) => ago(0, passed))).toEqual(['0 s', '59 s', '1 min', '2 h', '2 d'])
    expect(ago(5_000, 0)).toBe('0 s')
  })

  test('says how far away a moment is, on either side of now', () => {
    expect(fromNow(0, 61_000)).toBe('1 min ago')
    expect(fromNow(7_200_000, 0)).toBe('in 2 h')
    expect(fromNow(5, 5)).toBe('0 s ago')
  })

  test('writes a date, also the last one that there is', () => {
    expect(dateTime(new Date(2026, 0, 2, 3, 4, 5).getTime())).toBe('Jan 2, 2026, 03:04:05')
    expect(dateTime(8.64e15)).toMatch(/275760/)
    expect(dateTime(-8.64e15)).toMatch(/271822/)
  })

  test('writes the time to the millisecond', () => {
    expect(clock(new Date(2026, 0, 2, 3, 4, 5, 6).getTime())).toBe('03:04:05.006')
  })
})
