import { expect, test } from 'vitest'
import { Notices } from './notices.ts'

test('each kind once in ten seconds', () => {
  const notices = new Notices()
  expect(notices.allows('a', 0)).toBe(true)
  expect(notices.allows('a', 0)).toBe(false)
  expect(notices.allows('b', 1)).toBe(true)
  expect(notices.allows('a', 9_999)).toBe(false)
  expect(notices.allows('a', 10_000)).toBe(true)
  expect(notices.allows('a', 19_999)).toBe(false)
})
