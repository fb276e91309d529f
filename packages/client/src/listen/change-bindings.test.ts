import { expect, test } from 'vitest'
import { assignIds, changeEntries, isSameFilter, wantsChange } from './change-bindings.ts'
import type { Binding } from './listeners.ts'

const binding = (filter: object): Binding => ({ type: 'postgres_changes', filter: { ...filter }, callback: () => {} })
const users = { event: '*', schema: 'public', table: 'users' }
const orders = { event: 'INSERT', schema: 'public', table: 'orders', filter: 'id=eq.1' }

test('ids are given by content, not by place; extra keys and null for nothing are fine', () => {
  const bindings = [binding(users), binding(orders)]
  expect(changeEntries(bindings)).toEqual([users, orders])
  expect(
    assignIds(bindings, [
      { ...orders, id: 0, extra: 1 },
      { ...users, filter: null, id: 7 },
    ]),
  ).toBeUndefined()
  expect(bindings.map(({ id }) => id)).toEqual([7, 0])
})

test('filters that differ in `select` alone', () => {
  const [a, b] = [binding({ ...users, select: ['id'] }), binding({ ...users, select: ['name'] })]
  expect(isSameFilter(a.filter, b.filter)).toBe(false)
  assignIds(
    [a, b],
    [
      { ...users, select: ['name'], id: 1 },
      { ...users, select: ['id'], id: 2 },
    ],
  )
  expect([a.id, b.id]).toEqual([2, 1])
  assignIds(
    [a, b],
    [
      { ...users, id: 3 },
      { ...users, id: 4 },
    ],
  )
  expect([a.id, b.id]).toEqual([3, 4])
})

test('names the binding that the server did not echo', () => {
  const bindings = [binding(users), binding(orders)]
  expect(assignIds(bindings, [{ ...users, id: 1 }])).toBe(bindings[1])
  expect(
    assignIds(bindings, [
      { ...users, id: 1 },
      { ...orders, filter: 'id=eq.2', id: 2 },
    ]),
  ).toBe(bindings[1])
  for (const hostile of [undefined, null, 'x', [null, 1], {}]) expect(assignIds(bindings, hostile)).toBe(bindings[0])
})

test('which binding a change is for', () => {
  const insert = { ...binding({ ...users, event: 'INSERT' }), event: 'insert', id: 0 }
  expect(wantsChange(insert, [0, 1], 'insert')).toBe(true)
  expect(wantsChange(insert, [0, 1], 'delete')).toBe(false)
  expect(wantsChange(insert, [1], 'insert')).toBe(false)
  expect(wantsChange(binding(users), [undefined], 'insert')).toBe(false)
})
