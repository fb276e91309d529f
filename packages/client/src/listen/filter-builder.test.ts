import { parseFilter } from '@tidewire/protocol'
import { postgresChangesFilter as theirs } from '@supabase/realtime-js'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { postgresChangesFilter, type RealtimePostgresFilterBuilder as Builder } from './filter-builder.ts'

test.each<[string, (filter: Builder) => unknown]>([
  [
    'several',
    (filter) => filter.match('a', '^x').imatch('b', 'y').neq('c', 2).gt('d', 1).gte('e', 1).lte('f', 1).lt('f', 1).ilike('g', 'h'),
  ],
  ['null', (filter) => filter.eq('a', null).isDistinct('b', null)],
  ['reserved characters', (filter) => filter.eq('a', 'x,y').eq('b', 'q"u\\o').like('c', '%x(%')],
  ['space', (filter) => filter.eq('a', ' sp ').eq('b', 'a b').eq('c', '')],
  ['in', (filter) => filter.in('a', ['a,b', 'c', 'c', 1, true]).in('b', [1, '1']).in('c', [' x'])],
  ['is', (filter) => filter.is('a', null).is('b', true).is('c', 'unknown')],
  ['not', (filter) => filter.not('a', 'in', ['x', 'y z']).not('b', 'is', null).not('c', 'eq', 'z)')],
  ['nothing', (filter) => filter],
  ['an empty list', (filter) => filter.in('a', [])],
])('writes %s as realtime-js does', (_, build) => {
  const text = (filter: Builder): string => {
    try {
      return String(build(filter))
    } catch (error) {
      return (error as Error).message
    }
  }
  expect(text(postgresChangesFilter())).toBe(text(theirs() as never))
})

test('any text survives: what is built is what the server reads', () => {
  const text = fc.oneof(fc.string(), fc.constantFrom('null', '{}', 'a"b', '\\', ' ', ''))
  fc.assert(
    fc.property(text, fc.array(text, { minLength: 1, maxLength: 5 }), (value, values) => {
      const parsed = parseFilter(postgresChangesFilter().eq('a', value).in('b', values).build())
      expect(parsed).toMatchObject({ ok: true, filters: [{ op: 'eq', value }, { op: 'in' }] })
      const list = parsed.ok ? parsed.filters[1]!.value : []
      expect(list).toEqual([...new Set(values)])
    }),
  )
})
