import { expect, it } from 'vitest'
import { nestsDeeperThan } from './presence-meta.ts'

it.each([
  ['1', 0, false],
  ['{}', 0, true],
  ['{}', 1, false],
  ['[{}]', 1, true],
  ['[{}]', 2, false],
  ['{"a":1,"b":{"c":[]}}', 2, true],
  ['{"a":1,"b":{"c":[]}}', 3, false],
  ['null', 0, false],
])('%s nests deeper than %i: %s', (text, limit, deeper) => {
  expect(nestsDeeperThan(JSON.parse(text), limit)).toBe(deeper)
})
