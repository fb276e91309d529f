import { expect, test } from 'vitest'
import { relation } from '../../test/replication-samples.ts'
import { describeTable, type CatalogRelation } from './table.ts'

const types = new Map([
  [23, { name: 'int4', type: { kind: 'number' } as const }],
  [25, { name: 'text', type: { kind: 'text' } as const }],
])
const column = (name: string, number: number, generated = false): CatalogRelation['columns'][number] => ({
  name,
  number,
  generated,
  typeOid: 23,
})
const facts: CatalogRelation = {
  rowSecurity: true,
  columns: [column('body', 1), column('id', 2), column('sum', 3, true)],
  primaryKey: [2],
}

test('columns stand in the order of the catalog and point into tuples', () => {
  const table = describeTable(relation(), facts, types)
  expect(table).toMatchObject({ oid: 1, schema: 'public', name: 't1', rowSecurity: true })
  expect(table.columns.map(({ name, tupleIndex, identity, generated }) => [name, tupleIndex, identity, generated])).toEqual([
    ['body', 1, false, false],
    ['id', 0, true, false],
    ['sum', null, false, true],
  ])
  expect(table.primaryKey).toEqual([table.columns[1]])
})

test('the type is that of the stream, which the value was written with', () => {
  const table = describeTable(relation(), facts, types)
  expect(table.columns[0]).toMatchObject({ name: 'body', typeOid: 25, typeName: 'text', type: { kind: 'text' } })
})

test('the primary key comes from the catalog, not from the replica identity', () => {
  const columns = relation().columns.map((each) => ({ ...each, key: true }))
  const table = describeTable(relation(1, { replicaIdentity: 'full', columns }), facts, types)
  expect(table.primaryKey.map(({ name }) => name)).toEqual(['id'])
  expect(describeTable(relation(), { ...facts, primaryKey: [] }, types).primaryKey).toEqual([])
  expect(describeTable(relation(), { ...facts, primaryKey: [3, 2] }, types).primaryKey.map(({ name }) => name)).toEqual(['sum', 'id'])
})

test('a column that was dropped since is still described', () => {
  const table = describeTable(relation(), { ...facts, columns: [column('id', 2)] }, types)
  expect(table.columns.map(({ name, number, tupleIndex }) => [name, number, tupleIndex])).toEqual([
    ['id', 2, 0],
    ['body', 0, 1],
  ])
})

test('a table that is gone is described from the stream alone', () => {
  const table = describeTable(relation(), null, new Map())
  expect(table.rowSecurity).toBe(false)
  expect(table.columns.map(({ name, number, type }) => [name, number, type.kind])).toEqual([
    ['id', 0, 'number'],
    ['body', 0, 'text'],
  ])
  expect(table.primaryKey.map(({ name }) => name)).toEqual(['id'])
  expect(describeTable(relation(1, { replicaIdentity: 'index' }), null, new Map()).primaryKey).toEqual([])
})
