import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { jsonEqual } from './json-equal.ts'

const seed = Number(process.env['FC_SEED'] ?? Date.now() % 2 ** 31)

/** JSON text in which equal values are equal texts. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const entries = Object.entries(value).map(([key, inner]) => `${JSON.stringify(key)}:${canonical(inner)}`)
  return `{${entries.sort().join()}}`
}

function shuffled(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shuffled)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, inner]) => [key, shuffled(inner)] as const)
      .toReversed(),
  )
}

describe(`equality of JSON (FC_SEED=${seed})`, () => {
  it.each([
    ['{}', '{}', true],
    ['[]', '[]', true],
    ['{}', '[]', false],
    ['{}', 'null', false],
    ['null', 'null', true],
    ['0', 'false', false],
    ['1', '1.0', true],
    ['0', '-0', true],
    ['"1"', '1', false],
    ['[1,2]', '[2,1]', false],
    ['[1]', '[1,2]', false],
    ['[1]', '{"0":1}', false],
    ['{"0":1}', '[1]', false],
    ['{"a":1,"b":2}', '{"b":2,"a":1}', true],
    ['{"a":1}', '{"b":1}', false],
    ['{"a":1}', '{"a":1,"b":1}', false],
    ['{"a":null}', '{"b":null}', false],
    ['{"a":{"b":[{"c":1}]}}', '{"a":{"b":[{"c":1}]}}', true],
    ['{"a":{"b":[{"c":1}]}}', '{"a":{"b":[{"c":2}]}}', false],
    ['{"__proto__":{}}', '{"x":{}}', false],
    ['{"__proto__":{}}', '{"__proto__":{}}', true],
    ['{"toString":1}', '{"x":1}', false],
  ])('%s and %s are equal: %s', (a, b, equal) => {
    expect(jsonEqual(JSON.parse(a), JSON.parse(b))).toBe(equal)
    expect(jsonEqual(JSON.parse(b), JSON.parse(a))).toBe(equal)
  })

  it('compares like canonical text', () => {
    const value = fc.jsonValue({ maxDepth: 3 })
    const property = fc.property(value, value, (a, b) => {
      expect(jsonEqual(a, b)).toBe(canonical(a) === canonical(b))
      expect(jsonEqual(a, shuffled(a))).toBe(true)
    })
    fc.assert(property, { seed, numRuns: 1000 })
  })
})
