import { expect, test } from 'vitest'
import { PublishedRelations, type PublishedRelation } from './published-relations.ts'

function relation(oid: number, version: string, more: Partial<PublishedRelation> = {}): PublishedRelation {
  return { oid, deliveredAs: [oid], version, recent: false, ...more }
}

test('a first look reports what may have changed inside of the window', () => {
  const published = new PublishedRelations()
  expect(
    published.begin([relation(1, 'a'), relation(2, 'a', { recent: true }), relation(3, 'a', { recent: true, deliveredAs: [9] })]),
  ).toEqual([2, 9])
})

test('what was never published before leaves no gap, what was taken out and put back does', () => {
  const published = new PublishedRelations()
  published.begin([relation(1, 'a')])
  expect(published.update([relation(1, 'a'), relation(2, 'a', { recent: true })])).toEqual([])
  expect(published.update([relation(2, 'a')])).toEqual([])
  expect(published.update([relation(1, 'b'), relation(2, 'a')])).toEqual([1])
  expect(published.update([relation(1, 'b'), relation(2, 'a')])).toEqual([])
})

test('one that comes back with its old version was away all the same', () => {
  const published = new PublishedRelations()
  published.begin([relation(1, 'a')])
  expect(published.update([])).toEqual([])
  expect(published.update([relation(1, 'a')])).toEqual([1])
})

test('partitions have their gap as the root that is delivered, once', () => {
  const published = new PublishedRelations()
  const leaves = (version: string): PublishedRelation[] => [2, 3].map((oid) => relation(oid, version, { deliveredAs: [1] }))
  published.begin(leaves('a'))
  expect(published.update(leaves('b'))).toEqual([1])
})
