import { expect, test } from 'vitest'
import { catalogTable, change, streamTable } from '../../test/fake-checks.ts'
import { computedOf, type Computed, type Outcome } from './outcome.ts'

const described = streamTable(catalogTable())
const [one, two] = [1, 2].map((id) => change(described, id, { now: [String(id), ''] }))
const computed = (record: Record<string, string>, old: Record<string, string> = {}): Computed => ({
  record: new Map(Object.entries(record)),
  old: new Map(Object.entries(old)),
})
const outcome = (rows: readonly (readonly [typeof one, Computed])[]): Outcome => ({
  decided: new Map(),
  faults: [],
  computed: new Map(rows.map(([row, values]) => [row!, values])),
})

test('what several decisions computed of a row is used by all of them', () => {
  const first = outcome([[one, computed({ a: '1', b: '2' })]])
  expect(computedOf([first])).toBe(first.computed)
  const second = outcome([
    [one, computed({ a: '1' }, { c: '3' })],
    [two, computed({ a: '4' })],
  ])
  expect([...computedOf([first, second])]).toEqual([
    [one, computed({ a: '1', b: '2' }, { c: '3' })],
    [two, computed({ a: '4' })],
  ])
})
