/** Identities that ask for the same rows and see different ones, with and without what distinguishes versions of rows. */
import type { Socket } from 'node:net'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { usePostgres } from '../../../test/postgres.ts'
import type { CatalogTable } from '../../catalog/catalog-table.ts'
import type { CheckAnswer, RowCheck } from '../../decide/feed-database.ts'
import { loadCatalogTables } from '../catalog/feed-catalog.ts'
import { databasePool, type SessionPool } from '../sessions/session-pool.ts'
import { checkRows } from './row-checker.ts'

const postgres = usePostgres()
const role = 'seer'
/** How rows are stored: the SQL of the table and of what it needs besides. */
const TABLES: Readonly<Record<string, { readonly sql: (name: string) => string; readonly readsCtid: boolean }>> = {
  ordinary: { sql: (name) => `create table ${name} (id int primary key, owner text, body text)`, readsCtid: true },
  numeric: { sql: (name) => `create table ${name} (id numeric primary key, owner text, body text)`, readsCtid: true },
  pair: {
    sql: (name) => `create table ${name} (id int, part text default 'x', owner text, body text, primary key (id, part))`,
    readsCtid: true,
  },
  columns: { sql: (name) => `create table ${name} (id int primary key, owner text, body text)`, readsCtid: false },
  parted: {
    sql: (name) => `create table ${name} (id int primary key, owner text, body text) partition by list (id);
      ${[1, 2, 3, 4].map((id) => `create table ${name}_${id} partition of ${name} for values in (${id})`).join('; ')}`,
    readsCtid: false,
  },
}
/** Where rows are wide, a version is written once for all that see it. */
const WIDTHS: Readonly<Record<string, string>> = { narrow: '', wide: 'w'.repeat(3_000) }
const names = Object.keys(WIDTHS).flatMap((width) => Object.keys(TABLES).map((table) => `${width}_${table}`))
const partsOf = (name: string): { readonly pad: string; readonly table: (typeof TABLES)[string] } => {
  const [width, table] = name.split('_') as [string, string]
  return { pad: WIDTHS[width]!, table: TABLES[table]! }
}
const setupOf = (name: string): string => {
  const { pad, table } = partsOf(name)
  return `${table.sql(name)}; alter table ${name} enable row level security;
   insert into ${name} (id, owner, body) values (1, 'a', '${pad}one'), (2, 'b', '${pad}two'), (3, 'a', '${pad}now'), (4, 'c', '${pad}four');
   create policy seen on ${name} for select to ${role} using ((current_setting('request.jwt.claims')::jsonb -> 'sees') ? owner);
   grant select ${name.endsWith('columns') ? '(id, owner, body)' : ''} on ${name} to ${role};`
}

let url: string
let sql: pg.Client
let sessions: SessionPool

beforeAll(async () => {
  url = await postgres.createDatabase()
  sql = await postgres.connect(url)
  sessions = databasePool({ url, maxConnections: 2, connectTimeoutMs: 5_000 })
  await sql.query(`create role ${role} nologin; ${names.map(setupOf).join('\n')}`)
})
afterAll(async () => {
  await sessions.close()
  await sql.end()
})

async function loaded(name: string): Promise<CatalogTable> {
  const { rows } = await sql.query(`select '${name}'::regclass::oid::int8::float8 as oid`)
  const { oid } = (rows as { oid: number }[])[0]!
  return (await loadCatalogTables(sql, [oid], [role])).get(oid)!
}

/** The rows 1 to 4 as they were written; the third has been written again since. */
function checkOf(table: CatalogTable, sees: readonly string[][], bodies: readonly (string | undefined)[]): RowCheck {
  const { pad } = partsOf(table.name)
  const owners = ['a', 'b', 'a', 'c']
  const rows = [0, 1, 2, 3]
  return {
    table,
    role,
    keys: rows.map((row) => table.primaryKey.map(({ name }) => (name === 'id' ? `${row + 1}` : 'x'))),
    columns: ['id', 'owner', 'body'].map((name) => table.columns.find((column) => column.name === name)!.number),
    images: rows.map((row) => [`${row + 1}`, owners[row]!, bodies[row] === undefined ? undefined : `${pad}${bodies[row]}`]),
    identities: sees.map((each, id) => ({ identity: { key: `${id}`, id, role, claims: JSON.stringify({ sees: each }) }, rows })),
    xids: [],
    waits: true,
  }
}

function visibleOf({ identities }: CheckAnswer): unknown[] {
  return identities.map((each) => (each.ok ? [...each.visible].toSorted(([a], [b]) => a - b) : each))
}

const SEES = [['b'], ['a'], [], ['a', 'b'], ['c', 'a'], ['a']]
const ROWS: Readonly<Record<string, readonly number[]>> = { a: [0, 2], b: [1], c: [3] }
const nowOf = (name: string): unknown => ({ current: ['3', 'a', `${partsOf(name).pad}now`] })

describe.each([
  ['functions', false],
  ['prepared statements', true],
])('by %s', (_, leavesNothing) => {
  const options = { timeoutMs: 10_000, isolates: true, leavesNothing, until: Infinity }

  test.each(names)('%s: each identity gets its own rows, and the row that was written again as it is now', async (name) => {
    const table = await loaded(name)
    expect(table.roles.get(role)!.readsCtid).toBe(partsOf(name).table.readsCtid)
    // A policy that is made of the row would be evaluated over the image.
    const hidden = { ...table, roles: new Map([[role, { ...table.roles.get(role)!, scope: 'opaque' as const }]]) }
    for (const body of ['three', undefined]) {
      const answer = await checkRows(sessions, checkOf(hidden, SEES, ['one', 'two', body, 'four']), options)
      expect(answer.current).toBe(true)
      const grant = (row: number): unknown => (row === 2 && body !== undefined ? nowOf(name) : 'image')
      expect(visibleOf(answer)).toEqual(
        SEES.map((owners) =>
          owners
            .flatMap((owner) => ROWS[owner]!)
            .toSorted((a, b) => a - b)
            .map((row) => [row, grant(row)]),
        ),
      )
    }
  })

  test.each(names)('%s: a row that was written again is read whole, with what the log does not hold', async (name) => {
    const table = await loaded(name)
    const hidden = { ...table, roles: new Map([[role, { ...table.roles.get(role)!, scope: 'opaque' as const }]]) }
    const check = checkOf(hidden, [['a'], ['b']], [undefined, undefined, undefined, undefined])
    const images = check.images.map((image, row) => (row === 2 ? ['3', 'b', undefined] : image))
    expect(visibleOf(await checkRows(sessions, { ...check, images }, options))).toEqual([
      [
        [0, 'image'],
        [2, nowOf(name)],
      ],
      [[1, 'image']],
    ])
  })

  test.each(['narrow_numeric', 'wide_numeric'])('%s: the same key twice: both versions are compared with the row', async (name) => {
    const table = await loaded(name)
    const hidden = { ...table, roles: new Map([[role, { ...table.roles.get(role)!, scope: 'opaque' as const }]]) }
    const check = checkOf(hidden, [['b'], ['a'], ['a']], ['one', 'two', 'old', 'now'])
    // The third is the row as it was written, the fourth as it was written again, with its key in other words.
    const keys = [['1'], ['2'], ['3'], ['3.0']]
    const images = check.images.map((image, row) => (row === 3 ? ['3', 'a', `${partsOf(name).pad}now`] : image))
    const own = [
      [0, 'image'],
      [2, nowOf(name)],
      [3, 'image'],
    ]
    expect(visibleOf(await checkRows(sessions, { ...check, keys, images }, options))).toEqual([[[1, 'image']], own, own])
  })
})

test('what the log does not hold of a row is large: it is read once, and not for each identity', async () => {
  await sql.query(`update wide_ordinary set body = repeat('v', 100000) where id = 3`)
  const table = await loaded('wide_ordinary')
  const hidden = { ...table, roles: new Map([[role, { ...table.roles.get(role)!, scope: 'opaque' as const }]]) }
  const sees = Array.from({ length: 50 }, () => ['a'])
  const check = checkOf(hidden, sees, [undefined, undefined, undefined, undefined])
  const images = check.images.map((image, row) => (row === 2 ? ['3', 'b', undefined] : image))
  const single = databasePool({ url, maxConnections: 1, connectTimeoutMs: 5_000 })
  const bytesRead = (): Promise<number> =>
    single.withSession((session) => Promise.resolve((session as unknown as { connection: { stream: Socket } }).connection.stream.bytesRead))
  const before = await bytesRead()
  const answer = await checkRows(single, { ...check, images }, { timeoutMs: 10_000, isolates: true, leavesNothing: false, until: Infinity })
  expect(new Set(answer.identities.map((each) => each.ok && each.visible.get(2)))).toEqual(
    new Set([{ current: ['3', 'a', 'v'.repeat(100_000)] }]),
  )
  expect((await bytesRead()) - before).toBeLessThan(200_000)
  await single.close()
})
