import { describe, expect, test } from 'vitest'
import { MAX_FILTER_LENGTH, MAX_FILTERS_LENGTH } from '../changes/filter.ts'
import { parseJoin, type ParsedJoin } from './join.ts'

const bounds = { maxChanges: 4, maxConditionsPerFilter: 3, maxConditions: 5 }
const conditions = (count: number): string => Array.from({ length: count }, (_, i) => `a=in.(1,2,"x,y",${i})`).join(',')
const join = (...entries: readonly unknown[]): ParsedJoin => parseJoin({ config: { postgres_changes: entries } }, bounds)
const entry = (more: object): object => ({ event: '*', schema: 'public', table: 't', ...more })
const code = (parsed: ParsedJoin): string => (parsed.ok ? 'ok' : parsed.code)

describe('bounds of a join (rule L12)', () => {
  test.each([
    ['entries', 4, 'too-many-changes', (n: number) => join(...Array.from({ length: n }, () => entry({})))],
    ['conditions of a filter', 3, 'too-many-conditions', (n: number) => join(entry({ filter: conditions(n) }))],
    [
      'conditions of all filters',
      5,
      'too-many-conditions',
      (n: number) => join(...Array.from({ length: 3 }, (_, i) => entry({ filter: conditions(i === 2 ? n - 4 : 2) }))),
    ],
    [
      'columns of a select',
      1_600,
      'too-many-columns',
      (n: number) => join(entry({ select: Array.from({ length: n }, (_, i) => `c${i}`) })),
    ],
    [
      'characters of a filter',
      MAX_FILTER_LENGTH,
      'too-many-conditions',
      (n: number) => join(entry({ filter: `a=eq.${'x'.repeat(n - 5)}` })),
    ],
    [
      'characters of all filters',
      MAX_FILTERS_LENGTH,
      'too-many-conditions',
      (n: number) =>
        parseJoin({
          config: {
            postgres_changes: Array.from({ length: 17 }, (_, i) =>
              entry({ filter: `a=eq.${'x'.repeat(i === 16 ? n - 16 * 60_000 - 5 : 60_000 - 5)}`.slice(0, MAX_FILTER_LENGTH) }),
            ).concat(n - 16 * 60_000 > MAX_FILTER_LENGTH ? [entry({ filter: 'x'.repeat(n - 16 * 60_000 - MAX_FILTER_LENGTH) })] : []),
          },
        }),
    ],
    ['bytes of a table', 255, 'name-too-long', (n: number) => join(entry({ table: 'x'.repeat(n) }))],
    ['bytes of a schema', 255, 'name-too-long', (n: number) => join(entry({ schema: 'x'.repeat(n) }))],
    [
      'bytes of a presence key (rule L11)',
      1_024,
      'name-too-long',
      (n: number) => parseJoin({ config: { presence: { key: 'k'.repeat(n) } } }),
    ],
  ])('%s: one below, at it, one above', (_, most, fault, ask) => {
    expect([most - 1, most, most + 1].map((count) => code(ask(count)))).toEqual(['ok', 'ok', fault])
  })

  test('entries of any shape are for the feed to refuse', () => {
    expect(join(null, 1, 'x', [], { select: 'a', filter: 3, table: [] })).toMatchObject({ ok: true })
  })

  test('the defaults take what the reference takes, and more', () => {
    expect(parseJoin({ config: { postgres_changes: Array.from({ length: 1_000 }, () => entry({ filter: 'a=eq.1' })) } })).toMatchObject({
      ok: true,
    })
    expect(code(parseJoin({ config: { postgres_changes: Array.from({ length: 1_001 }, () => entry({})) } }))).toBe('too-many-changes')
  })
})
