import { describe, expect, test } from 'vitest'
import { PublishedRelations, type LoggedRelation, type PublishedDifference, type PublishedRelation } from './published-relations.ts'

function relation(oid: number, version: string, more: Partial<PublishedRelation> = {}): PublishedRelation {
  return { oid, deliveredAs: [oid], version, recent: false, ...more }
}

/** A database that remembers, and nodes that read it. */
class Log {
  rows: LoggedRelation[] = []

  read(node: PublishedRelations, lsn: number, relations: readonly PublishedRelation[], isNewSlot = false): PublishedDifference['gaps'] {
    const { gaps, writes } = node.compare({ relations, serverLsn: BigInt(lsn), isNewSlot }, this.rows)
    const written = new Set(writes.map(({ oid }) => oid))
    this.rows = [...this.rows.filter(({ oid }) => !written.has(oid)), ...writes]
    return gaps
  }
}

test('what was never published before leaves no gap, what was taken out and put back does', () => {
  const [log, node] = [new Log(), new PublishedRelations()]
  expect(log.read(node, 10, [relation(1, 'a')], true)).toEqual([])
  expect(log.read(node, 20, [relation(1, 'a'), relation(2, 'a', { recent: true })])).toEqual([])
  expect(log.read(node, 30, [relation(2, 'a')])).toEqual([])
  expect(log.read(node, 40, [relation(1, 'b'), relation(2, 'a')])).toEqual([{ tables: [1], before: 40n }])
  expect(log.read(node, 50, [relation(1, 'b'), relation(2, 'a')])).toEqual([])
})

test('one that comes back with its old version was away all the same', () => {
  const [log, node] = [new Log(), new PublishedRelations()]
  log.read(node, 10, [relation(1, 'a')])
  expect(log.read(node, 20, [])).toEqual([])
  expect(log.read(node, 30, [relation(1, 'a')])).toEqual([{ tables: [1], before: 30n }])
})

test('partitions have their gap as the root that is delivered, once', () => {
  const [log, node] = [new Log(), new PublishedRelations()]
  const leaves = (version: string): PublishedRelation[] => [2, 3].map((oid) => relation(oid, version, { deliveredAs: [1] }))
  log.read(node, 10, leaves('a'))
  expect(log.read(node, 20, leaves('b'))).toEqual([{ tables: [1], before: 20n }])
})

test('the database is asked only when something differs', () => {
  const node = new PublishedRelations()
  expect(node.isSame([])).toBe(false)
  new Log().read(node, 10, [relation(1, 'a'), relation(2, 'a')])
  expect(node.isSame([relation(2, 'a'), relation(1, 'a')])).toBe(true)
  for (const other of [[relation(1, 'a')], [relation(1, 'b'), relation(2, 'a')], [relation(1, 'a'), relation(2, 'a'), relation(3, 'a')]])
    expect(node.isSame(other)).toBe(false)
})

describe('a node that starts', () => {
  test('has the gaps that others saw, as far as they reach, and none of tables that were new', () => {
    const [log, first] = [new Log(), new PublishedRelations()]
    log.read(first, 10, [relation(1, 'a')], true)
    log.read(first, 20, [relation(1, 'b'), relation(2, 'a')])
    const published = [relation(1, 'b', { recent: true }), relation(2, 'a', { recent: true })]
    expect(log.read(new PublishedRelations(), 90, published)).toEqual([{ tables: [1], before: 20n }])
  })

  test('has a gap of what changed while no node looked', () => {
    const [log, first] = [new Log(), new PublishedRelations()]
    log.read(first, 10, [relation(1, 'a'), relation(2, 'a'), relation(3, 'a')])
    log.read(first, 20, [relation(1, 'a'), relation(2, 'a')])
    // Put back after the first one had seen that it is gone, by a node that never saw it published.
    const published = [relation(1, 'a'), relation(2, 'b'), relation(3, 'a')]
    expect(log.read(new PublishedRelations(), 90, published)).toEqual([{ tables: [2, 3], before: 90n }])
  })

  test('trusts the catalog alone where nothing is remembered', () => {
    const published = [relation(1, 'a'), relation(2, 'a', { recent: true })]
    expect(new Log().read(new PublishedRelations(), 90, published)).toEqual([{ tables: [2], before: 90n }])
    expect(new Log().read(new PublishedRelations(), 90, published, true)).toEqual([])
  })

  test('after the slot was made again has none, and remembers none', () => {
    const [log, first] = [new Log(), new PublishedRelations()]
    log.read(first, 10, [relation(1, 'a')])
    log.read(first, 20, [relation(1, 'b')])
    log.read(new PublishedRelations(), 30, [relation(1, 'c')], true)
    expect(log.read(new PublishedRelations(), 40, [relation(1, 'c')])).toEqual([])
  })
})

test('two nodes that see a change one after the other both report it', () => {
  const log = new Log()
  const [first, second] = [new PublishedRelations(), new PublishedRelations()]
  for (const node of [first, second]) log.read(node, 10, [relation(1, 'a')])
  expect(log.read(first, 20, [relation(1, 'b')])).toEqual([{ tables: [1], before: 20n }])
  expect(log.read(second, 25, [relation(1, 'b')])).toEqual([{ tables: [1], before: 25n }])
  expect(log.rows).toEqual([{ oid: 1, version: 'b', gapBefore: 20n }])
})
