import { expect, test } from 'vitest'
import { nameMatches } from './name-pattern.ts'

test('names are patterns, and never anything else', () => {
  expect(nameMatches('*', 'anything')).toBe(true)
  expect(nameMatches('no_es', 'notes')).toBe(true)
  expect(nameMatches('n%s', 'notes')).toBe(true)
  expect(nameMatches('n\\%s', 'n%s')).toBe(true)
  expect(nameMatches('n\\%s', 'notes')).toBe(false)
  expect(nameMatches('n.tes', 'notes')).toBe(false)
  expect(nameMatches('%(a', 'x(a')).toBe(true)
  expect(nameMatches('notes; drop table notes', 'notes')).toBe(false)
  // Patterns of wildcards do not take longer and longer.
  expect(nameMatches(`${'%_'.repeat(30)}x`, 'y'.repeat(63))).toBe(false)
  expect(nameMatches(`${'%'.repeat(10_000)}x`, 'y'.repeat(63))).toBe(false)
})
