import { expect, test } from 'vitest'
import { WindowMarks } from './window-marks.ts'

test('what is older than the window may be confirmed, and nothing that is younger', () => {
  const marks = new WindowMarks({ maxAgeMs: 1_000, maxWalBytes: 1_000_000 })
  expect(marks.trim(0, 0n)).toBeNull()
  marks.note(100n, 0)
  marks.note(200n, 500)
  expect(marks.trim(999, 200n)).toBeNull()
  expect(marks.trim(1_000, 200n)).toBe(100n)
  expect(marks.trim(1_499, 200n)).toBeNull()
  expect(marks.trim(1_500, 200n)).toBe(200n)
})

test('a position that was noted later than it was reached counts from then on', () => {
  const marks = new WindowMarks({ maxAgeMs: 1_000, maxWalBytes: 1_000_000 })
  marks.note(100n, 0)
  // Too soon after the last one to be a mark of its own.
  marks.note(150n, 5)
  marks.note(200n, 20)
  expect(marks.trim(1_010, 200n)).toBe(100n)
  expect(marks.trim(1_020, 200n)).toBe(200n)
})

test('the write-ahead log behind the window is bounded, however young it is', () => {
  const marks = new WindowMarks({ maxAgeMs: 60_000, maxWalBytes: 1_000 })
  for (let at = 0; at <= 10; at++) marks.note(BigInt(at * 500), at * 1_000)
  expect(marks.trim(10_000, 5_000n)).toBe(3_500n)
  expect(marks.trim(10_000, 5_000n)).toBeNull()
})

test('marks are few, and a new epoch has none', () => {
  const marks = new WindowMarks({ maxAgeMs: 1_000, maxWalBytes: 1_000_000 })
  for (let at = 0; at < 10_000; at++) marks.note(BigInt(at), at / 10)
  marks.restart()
  expect(marks.trim(10_000, 10_000n)).toBeNull()
})
