/** Rows are looked up by their keys, whatever type those have, by functions and by prepared statements. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { asRole, startFeed, type TestFeed } from '../../../test/feed.ts'
import { usePostgres } from '../../../test/postgres.ts'

const postgres = usePostgres()

/** Types of keys, and two values of each. */
const KEYS: Readonly<Record<string, readonly [string, string]>> = {
  int2: ['1', '2'],
  int8: ['1', '9007199254740993'],
  uuid: ["'00000000-0000-4000-8000-000000000001'", "'00000000-0000-4000-8000-000000000002'"],
  text: ["'a'", "'b \"\\ c'"],
  'varchar(5)': ["'a'", "'b'"],
  'char(3)': ["'a'", "'b'"],
  bool: ['false', 'true'],
  numeric: ['1.0', '2.50'],
  date: ["'2026-01-01'", "'2026-01-02'"],
  timestamptz: ["'2026-01-01 00:00:00+00'", "'2026-01-01 00:00:01.5+00'"],
  mood: ["'ok'", "'bad'"],
  positive: ['1', '2'],
  word: ["'a'", "'b'"],
  soft: ["'a'", "'B'"],
}
const NO_FUNCTIONS = `do $$ begin execute format('revoke temporary, create on database %I from public', current_database()); end $$`
const types = Object.keys(KEYS)
/** Columns whose names the check uses itself. */
const NAMES = 'missing unknown known shown setting guarded untils xids claims claim p0 k0 part part_end seen fault i n t k r'.split(' ')
const tableOf = (type: string): string => `keyed_by_${types.indexOf(type)}`
const setup = types
  .map(
    (
      type,
    ) => `create table ${tableOf(type)} (key ${type === 'soft' ? 'text collate soft' : type} primary key, ${NAMES.map((name) => `"${name}" int`).join(', ')}, owner text);
      alter table ${tableOf(type)} enable row level security;
      create policy own on ${tableOf(type)} for select to authenticated using (owner = auth.jwt() ->> 'sub');
      grant select on ${tableOf(type)} to authenticated; alter publication supabase_realtime add table ${tableOf(type)};`,
  )
  .join('\n')
const renewed = `create type level as enum ('low', 'high'); create table renewed (key level primary key, owner text);
  alter table renewed enable row level security; create policy own on renewed for select to authenticated using (owner = auth.jwt() ->> 'sub');
  grant select on renewed to authenticated; alter publication supabase_realtime add table renewed;`

describe.each([
  ['functions', ''],
  ['prepared statements', NO_FUNCTIONS],
])('by %s', (_, more) => {
  let it: TestFeed
  beforeAll(async () => {
    it = await startFeed(
      await postgres.createDatabase(),
      `create type mood as enum ('ok', 'bad'); create domain positive as int check (value > 0); create domain word as varchar(9);
       create collation soft (provider = icu, locale = 'und-u-ks-level2', deterministic = false); ${setup} ${renewed} ${more}`,
    )
  })
  afterAll(() => it.close())

  test.each(types)('%s: each subscriber gets its own rows, also of rows that were written twice', async (type) => {
    const [one, other] = KEYS[type]!
    const table = tableOf(type)
    const entries = [{ event: '*', schema: 'public', table }]
    const channels = ['a', 'b'].map((sub) => it.open({ entries, identity: asRole('authenticated', { sub }) }))
    for (const channel of channels) await channel.subscribed()
    await it.sql.query(`begin; insert into ${table} (key, n, owner) values (${one}, 1, 'a'), (${other}, 1, 'b');
      update ${table} set n = 2; update ${table} set n = 3 where key = ${other}; commit`)
    const [a, b] = channels
    await a!.received(2)
    await b!.received(3)
    const seen = (channel: (typeof channels)[number]): unknown[] => channel.changes.map(({ data }) => [data.type, data.record?.['n']])
    expect(seen(a!)).toEqual([
      ['INSERT', 1],
      ['UPDATE', 2],
    ])
    expect(seen(b!)).toEqual([
      ['INSERT', 1],
      ['UPDATE', 2],
      ['UPDATE', 3],
    ])
    for (const channel of channels) channel.handle.close()
  })

  test('a type of the same name takes the place of that of the key', async () => {
    const entries = [{ event: '*', schema: 'public', table: 'renewed' }]
    const channel = it.open({ entries, identity: asRole('authenticated', { sub: 'a' }) })
    await channel.subscribed()
    await it.sql.query(`insert into renewed values ('low', 'a')`)
    await channel.received(1)
    await it.sql.query(`alter table renewed alter key type text; drop type level; create type level as enum ('low', 'high');
      alter table renewed alter key type level using key::level; insert into renewed values ('high', 'a')`)
    await channel.received(2)
    expect(channel.changes.map(({ data }) => data.record?.['key'])).toEqual(['low', 'high'])
    channel.handle.close()
  })
})
