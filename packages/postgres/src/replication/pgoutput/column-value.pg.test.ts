import fc from 'fast-check'
import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { usePostgres } from '../../../test/postgres.ts'
import { SAMPLE_TYPES_SQL, SAMPLES } from '../../../test/value-samples.ts'
import { loadValueTypes } from '../../io/replication/type-catalog.ts'
import { recordWriter } from '../../deliver/record-writer.ts'
import { jsonbText } from './json-text.ts'
import { columnWriter, type ValueType } from './column-value.ts'
import { decodePgoutput } from './decoder.ts'
import type { RelationMessage } from './message.ts'
import type { Tuple } from './tuple.ts'

const HOLDS_ROW: ReadonlySet<string> = new Set(['pair', 'pair[]', 'outer_pair', 'a_pair'])

/** Where a column is meant to differ from `to_jsonb`: this is the whole list. */
const EXCEPTIONS: Readonly<Record<string, (text: string) => string | undefined>> = {
  bytea: (text) => JSON.stringify(text.slice(2)),
  numeric: endlessIsNull,
  float4: endlessIsNull,
  float8: endlessIsNull,
}

function endlessIsNull(text: string): string | undefined {
  return /^(NaN|-?Infinity)$/.test(text) ? 'null' : undefined
}

const SESSION_SQL = `set timezone = 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'postgres'; set bytea_output = 'hex'; set extra_float_digits = 1`

const postgres = usePostgres()
const typeNames = Object.keys(SAMPLES)
let admin: pg.Client

beforeAll(async () => {
  admin = postgres.admin
  await admin.query(SAMPLE_TYPES_SQL)
  await admin.query(SESSION_SQL)
  await admin.query(
    `create table samples (id int primary key, ${typeNames.map((name, index) => `c${index} ${name}`).join(', ')}, h hstore)`,
  )
  await admin.query('create publication samples_pub for all tables')
  await admin.query(`select pg_create_logical_replication_slot('samples', 'pgoutput')`)
})

beforeEach(emptySamples)

async function emptySamples(): Promise<void> {
  // A case that failed may have left its transaction open.
  await admin.query('rollback')
  await admin.query('truncate samples')
  await readChanges()
}

/** What the feed says of everything written since the last call: the relation and the new rows. */
async function readChanges(): Promise<{ relation: RelationMessage | undefined; rows: Tuple[] }> {
  const { rows } = await admin.query<{ data: Buffer }>(
    `select data from pg_logical_slot_get_binary_changes('samples', null, null, 'proto_version', '1', 'publication_names', 'samples_pub')`,
  )
  let relation: RelationMessage | undefined
  const tuples: Tuple[] = []
  for (const { data } of rows) {
    const result = decodePgoutput(data)
    if (!result.ok) throw new Error(`${result.code}: ${result.detail}`)
    if (result.message.kind === 'relation') relation = result.message
    if (result.message.kind === 'insert') tuples.push(result.message.newTuple)
  }
  return { relation, rows: tuples }
}

async function typesOf(relation: RelationMessage): Promise<ValueType[]> {
  const types = await loadValueTypes(
    admin,
    relation.columns.map((column) => column.typeOid),
  )
  return relation.columns.map((column) => types.get(column.typeOid)!)
}

test('the values of every type are written as to_jsonb writes them', async () => {
  const row = fc.tuple(...typeNames.map((name) => fc.option(SAMPLES[name]!, { freq: 8 })))
  const insert = `insert into samples values ($1, ${typeNames.map((_, index) => `$${index + 2}`).join(', ')})`
  const select = `select ${typeNames.map((_, index) => `to_jsonb(c${index})::text as c${index}`).join(', ')} from samples order by id`
  let compared = 0
  await fc.assert(
    fc.asyncProperty(fc.array(row, { minLength: 10, maxLength: 30 }), async (rows) => {
      await admin.query('begin')
      for (const [id, values] of rows.entries()) await admin.query(insert, [id, ...values]).catch(explain(values))
      await admin.query('commit')
      const expected = (await admin.query<Record<string, string | null>>(select)).rows
      const seen = await readChanges()
      expect(seen.rows).toHaveLength(rows.length)
      const writers = (await typesOf(seen.relation!)).map(columnWriter)
      for (const [at, tuple] of seen.rows.entries())
        for (const [index, name] of typeNames.entries()) {
          const text = tuple.text(index + 1)
          const json = typeof text === 'string' ? writers[index + 1]!(text) : null
          const wanted = typeof text === 'string' ? (EXCEPTIONS[name]?.(text) ?? expected[at]![`c${index}`]) : null
          // Rows have their keys in the order of their attributes, which jsonb does not keep.
          const isSame = json === wanted || (HOLDS_ROW.has(name) && json !== null && jsonbText(json) === wanted)
          if (!isSame) throw new Error(`${name} ${JSON.stringify(text)}: ${json} is not ${wanted}`)
          compared++
        }
      await admin.query('truncate samples')
    }),
    { numRuns: 40, endOnFailure: true },
  )
  expect(compared).toBeGreaterThan(20_000)
}, 90_000)

function explain(values: readonly (string | null)[]): (error: Error) => never {
  return (error) => {
    throw new Error(`${error.message}: ${JSON.stringify(Object.fromEntries(typeNames.map((name, index) => [name, values[index]])))}`)
  }
}

describe('records', () => {
  test('are written as to_jsonb of the row, keys in its order', async () => {
    await admin.query(
      `create table odd ("énä" text, "b" int, "aa" int, "a" int, "ｚ" int, "😀" int, "Quoted ""Col""" text, "with space" jsonb, "zz" int)`,
    )
    await admin.query(`insert into odd values ('e', 1, 2, 3, 4, 5, 'q"', '{"b": [1, 2]}', null)`)
    const { relation, rows } = await readChanges()
    const types = await typesOf(relation!)
    const columns = relation!.columns.map(({ name }, tupleIndex) => ({ name, type: types[tupleIndex]!, tupleIndex }))
    const [wanted] = (await admin.query<{ json: string }>('select to_jsonb(odd)::text as json from odd')).rows
    expect(recordWriter(columns)(rows[0]!)).toBe(wanted!.json)
    expect(recordWriter([])(rows[0]!)).toBe('{}')
    expect(recordWriter(columns.slice(0, 1))(rows[0]!)).toBe('{"énä": "e"}')
  })

  test('a type with a cast of its own is a string until the database is asked', async () => {
    await admin.query(`insert into samples (id, h) values (1, 'a=>1, b=>NULL')`)
    const { relation, rows } = await readChanges()
    const at = relation!.columns.findIndex((column) => column.name === 'h')
    const type = (await typesOf(relation!))[at]!
    expect(type).toEqual({ kind: 'cast', name: 'public.hstore' })
    const write = recordWriter([{ name: 'h', type, tupleIndex: at }])
    expect(write(rows[0]!)).toBe(`{"h": ${JSON.stringify(rows[0]!.text(at))}}`)
    const [json] = (
      await admin.query<{ json: string }>(`select to_jsonb($1::${type.kind === 'cast' ? type.name : ''})::text as json`, [
        rows[0]!.text(at),
      ])
    ).rows
    expect(write(rows[0]!, { computed: new Map([['h', json!.json]]) })).toBe('{"h": {"a": "1", "b": null}}')
  })

  test('json that jsonb cannot hold stays as it was written', async () => {
    const text = '{"b": "\\u0000", "a":  1}'
    await expect(admin.query('select to_jsonb($1::json)', [text])).rejects.toMatchObject({ code: '22P05' })
    expect(columnWriter({ kind: 'json' })(text)).toBe(text)
  })
})

test('types that are gone are missing, and unknown ones are text', async () => {
  const types = await loadValueTypes(admin, [23, 25, 4_000_000_000])
  expect([...types]).toEqual([
    [23, { kind: 'number' }],
    [25, { kind: 'text' }],
  ])
})
