import type { Filter, FilterOperator } from '@tidewire/protocol'
import { describe, expect, test } from 'vitest'
import type { CatalogColumn } from '../catalog/catalog-table.ts'
import type { Table } from '../replication/table.ts'
import { fits, lookupValues, prepareFilter, verdictOf } from './prepared-filter.ts'

/** Kinds of types, by what their texts say: order and equality, equality alone, or nothing that is certain. */
const KINDS = {
  integer: { baseOid: 23, deterministic: true, isEnum: false, values: ['9', '10', '11'] },
  text: { baseOid: 25, deterministic: true, isEnum: false, values: ['a', 'b', 'c'] },
  enum: { baseOid: 16_500, deterministic: true, isEnum: true, values: ['a', 'b', 'c'] },
  collated: { baseOid: 25, deterministic: false, isEnum: false, values: ['a', 'b', 'c'] },
  numeric: { baseOid: 1700, deterministic: true, isEnum: false, values: ['9', '10', '11'] },
} as const
type Kind = keyof typeof KINDS

/**
 * The verdicts for a row whose value is smaller than the filter's, equal to it, greater, and NULL: yes, no, or `?` where only
 * Postgres can say. Before the stroke as it is, after it with `not.`: NULL passes neither, except where SQL has two values.
 */
const VERDICTS: Record<FilterOperator, Record<Kind, `${string} | ${string}`>> = {
  eq: { integer: 'nynn | ynyn', text: 'nynn | ynyn', enum: 'nynn | ynyn', collated: '???? | ????', numeric: '???? | ????' },
  neq: { integer: 'ynyn | nynn', text: 'ynyn | nynn', enum: 'ynyn | nynn', collated: '???? | ????', numeric: '???? | ????' },
  lt: { integer: 'ynnn | nyyn', text: '???? | ????', enum: '???? | ????', collated: '???? | ????', numeric: '???? | ????' },
  lte: { integer: 'yynn | nnyn', text: '???? | ????', enum: '???? | ????', collated: '???? | ????', numeric: '???? | ????' },
  gt: { integer: 'nnyn | yynn', text: '???? | ????', enum: '???? | ????', collated: '???? | ????', numeric: '???? | ????' },
  gte: { integer: 'nyyn | ynnn', text: '???? | ????', enum: '???? | ????', collated: '???? | ????', numeric: '???? | ????' },
  in: { integer: 'nyyn | ynnn', text: 'nyyn | ynnn', enum: 'nyyn | ynnn', collated: '???? | ????', numeric: '???? | ????' },
  isdistinct: { integer: 'ynyy | nynn', text: 'ynyy | nynn', enum: 'ynyy | nynn', collated: '???? | ????', numeric: '???? | ????' },
  is: { integer: 'nnny | yyyn', text: 'nnny | yyyn', enum: 'nnny | yyyn', collated: 'nnny | yyyn', numeric: 'nnny | yyyn' },
  like: { integer: '???? | ????', text: '???? | ????', enum: '???? | ????', collated: '???? | ????', numeric: '???? | ????' },
  ilike: { integer: '???? | ????', text: '???? | ????', enum: '???? | ????', collated: '???? | ????', numeric: '???? | ????' },
  match: { integer: '???? | ????', text: '???? | ????', enum: '???? | ????', collated: '???? | ????', numeric: '???? | ????' },
  imatch: { integer: '???? | ????', text: '???? | ????', enum: '???? | ????', collated: '???? | ????', numeric: '???? | ????' },
}

function columnOf(kind: Kind): CatalogColumn {
  const { baseOid, deterministic, isEnum } = KINDS[kind]
  return {
    ...{ name: 'c', number: 1, typeOid: baseOid, baseOid, typeName: kind, typeSql: kind, category: 'X', isEnum, deterministic },
    ...{ generated: false, collation: null, rolesWithSelect: new Set(['anon']) },
  }
}

const tableOf = (typeOid: number): Table => ({ columns: [{ name: 'c', typeOid }] }) as unknown as Table

/** `in` lists the filter's value and the greater one; `is` asks for null. */
function filterOf(op: FilterOperator, negate: boolean, kind: Kind): [Filter, (string | null)[]] {
  const [, same, greater] = KINDS[kind].values
  if (op === 'in') return [{ column: 'c', op, negate, value: [same, greater] }, [same, greater]]
  const value = op === 'is' ? 'null' : same
  return [{ column: 'c', op, negate, value }, [value]]
}

function prepared(op: FilterOperator, negate: boolean, kind: Kind): ReturnType<typeof prepareFilter> {
  const [filter, values] = filterOf(op, negate, kind)
  return prepareFilter(filter, columnOf(kind), values)
}

const verdict = (filter: ReturnType<typeof prepareFilter>, text: string | null | undefined, typeOid = filter.column.typeOid): string => {
  const is = verdictOf(filter, tableOf(typeOid), () => text)
  return is === null ? '?' : is ? 'y' : 'n'
}

describe.each(Object.entries(VERDICTS) as [FilterOperator, (typeof VERDICTS)[FilterOperator]][])('%s', (op, byKind) => {
  test.each(Object.entries(byKind) as [Kind, string][])('of %s', (kind, expected) => {
    const ask = (negate: boolean): string => [...KINDS[kind].values, null].map((text) => verdict(prepared(op, negate, kind), text)).join('')
    expect(`${ask(false)} | ${ask(true)}`).toBe(expected)
  })
})

test('a value that the log does not hold passes no filter, whatever its operator', () => {
  for (const op of Object.keys(VERDICTS) as FilterOperator[])
    for (const negate of [false, true]) expect(verdict(prepared(op, negate, 'integer'), undefined)).toBe('n')
})

test('of a value whose type is not the one that the filter was prepared for, or that is none of its type, only Postgres can say', () => {
  expect(verdict(prepared('eq', false, 'integer'), '10', 25)).toBe('?')
  expect(verdict(prepared('lt', false, 'integer'), 'ten')).toBe('?')
})

test('a list with NULL in it passes its values, and with `not.` nothing, as in SQL', () => {
  const list = (negate: boolean): ReturnType<typeof prepareFilter> =>
    prepareFilter({ column: 'c', op: 'in', negate, value: ['a', null] }, columnOf('text'), ['a', null])
  expect(['a', 'b', null].map((text) => verdict(list(false), text)).join('')).toBe('ynn')
  expect(['a', 'b', null].map((text) => verdict(list(true), text)).join('')).toBe('nnn')
})

test('an empty list passes nothing, and with `not.` everything, NULL too', () => {
  const list = (negate: boolean): ReturnType<typeof prepareFilter> =>
    prepareFilter({ column: 'c', op: 'in', negate, value: [] }, columnOf('text'), [])
  expect(['a', null].map((text) => verdict(list(false), text)).join('')).toBe('nn')
  expect(['a', null].map((text) => verdict(list(true), text)).join('')).toBe('yy')
})

test('a filter is found by its values where it passes nothing else', () => {
  expect(lookupValues(prepared('eq', false, 'text'))).toEqual(['b'])
  expect(lookupValues(prepared('in', false, 'text'))).toEqual(['b', 'c'])
  const others = [
    prepared('eq', true, 'text'),
    prepared('in', true, 'text'),
    prepared('gt', false, 'integer'),
    prepared('eq', false, 'numeric'),
  ]
  expect(others.map(lookupValues)).toEqual([null, null, null, null])
})

const CHANGED: Record<
  Exclude<keyof CatalogColumn, 'number' | 'typeName' | 'category' | 'isEnum' | 'generated' | 'rolesWithSelect'>,
  unknown
> = {
  name: 'd',
  typeOid: 1,
  baseOid: 1,
  typeSql: 'other',
  collation: 'de',
  deterministic: false,
}

test.each(Object.entries(CHANGED))('a filter does not fit a table whose column has another %s', (key, value) => {
  const filter = prepared('eq', false, 'text')
  expect(fits([filter], { columns: [filter.column] })).toBe(true)
  expect(fits([filter], { columns: [{ ...filter.column, [key]: value }] })).toBe(false)
})
