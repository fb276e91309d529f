import { afterAll, beforeAll, expect, test } from 'vitest'
import { asRole, startFeed, type TestFeed } from '../../../test/feed.ts'
import { usePostgres } from '../../../test/postgres.ts'

const postgres = usePostgres()
let it: TestFeed

beforeAll(async () => {
  it = await startFeed(
    await postgres.createDatabase(),
    `create table notes (id serial primary key, body text, n int, ok bool, num numeric, f float8, d date, secret text, j json);
     create table not_published (id serial primary key); create table keyless (a int); create table hidden (id serial primary key);
     create table published_keyless (a int);
     create table full_rows (id serial primary key, room int); alter table full_rows replica identity full;
     grant select on not_published, keyless, published_keyless, full_rows to anon;
     create schema private_schema; create table private_schema.things (id serial primary key, body text);
     create role other nologin;
     grant all on notes to authenticated, service_role; grant select (id, body, n, ok, num, f, d, j) on notes to anon;
     alter publication supabase_realtime add table notes, private_schema.things, published_keyless, full_rows;`,
  )
})
afterAll(() => it.close())

const NOTES = { event: '*', schema: 'public', table: 'notes' }

async function verdict(...entries: unknown[]): Promise<string> {
  const channel = it.open({ entries })
  const { status, message } = await channel.verdict()
  channel.handle.close()
  return `${status} ${message}`
}

const PREFIX = 'error Unable to subscribe to changes with given parameters. An exception happened so please check your connect parameters: '
const filtered = (column: string, op: string, value: string): string =>
  `${PREFIX}[event: *, schema: public, table: notes, filters: [{"${column}", "${op}", "${value}", false}], select: nil]. Exception: `
const nowhere = (schema: string, table: string): string =>
  `error Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given connect parameters: [event: *, schema: ${schema}, table: ${table}, filters: [], select: nil]`

test('filters that the table cannot have', async () => {
  expect(await verdict({ ...NOTES, filter: 'nope=eq.1' })).toBe(
    `${filtered('nope', 'eq', '1')}ERROR P0001 (raise_exception) invalid column for filter nope`,
  )
  expect(await verdict({ ...NOTES, filter: 'secret=eq.1' })).toBe(
    `${filtered('secret', 'eq', '1')}ERROR P0001 (raise_exception) invalid column for filter secret`,
  )
  expect(await verdict({ ...NOTES, filter: 'n=eq.abc' })).toBe(
    `${filtered('n', 'eq', 'abc')}ERROR 22P02 (invalid_text_representation) invalid input syntax for type integer: "abc"`,
  )
  expect(await verdict({ ...NOTES, filter: 'n=like.5' })).toBe(
    `${filtered('n', 'like', '5')}ERROR P0001 (raise_exception) operator like requires a text-compatible column type, got integer`,
  )
  expect(await verdict({ ...NOTES, filter: 'n=is.5' })).toBe(
    `${filtered('n', 'is', '5')}ERROR P0001 (raise_exception) invalid value for is filter: must be null, true, false, or unknown`,
  )
  expect(await verdict({ ...NOTES, filter: 'body=match.(' })).toBe(
    `${filtered('body', 'match', '(')}ERROR P0001 (raise_exception) invalid regular expression for match filter: invalid regular expression: parentheses () not balanced`,
  )
  expect(await verdict({ ...NOTES, filter: 'body=match.a\u0000b' })).toContain('invalid byte sequence for encoding "UTF8": 0x00')
  expect(await verdict({ ...NOTES, filter: 'd=gt.32-13-99' })).toContain('ERROR 22008 (datetime_field_overflow)')
  expect(await verdict({ ...NOTES, filter: 'j=eq.{}' })).toContain('ERROR 42883 (undefined_function) operator does not exist')
})

test('one that is refused says why, and the others go on', async () => {
  const other = it.open({ entries: [{ ...NOTES, filter: `n=in.(${Array.from({ length: 100 }, (_, n) => n).join()})` }] })
  await other.subscribed()
  const refused = {
    [`n=in.(${Array.from({ length: 101 }, (_, n) => n).join()})`]: 'too many values for `in` filter. Maximum 100',
    'body=match.[a':
      'ERROR P0001 (raise_exception) invalid regular expression for match filter: invalid regular expression: brackets [] not balanced',
    'n=in.(1,two)': 'ERROR 22P02 (invalid_text_representation) invalid input syntax for type integer: "two"',
    'n=between.1': 'Error parsing `filter` params: ["between", "1"]',
  }
  for (const [n, [filter, reason]] of Object.entries(refused).entries()) {
    const channel = it.open({ entries: [{ ...NOTES, filter }] })
    const { status, message } = await channel.verdict()
    expect([status, message.slice(-reason.length)]).toEqual(['error', reason])
    await it.sql.query('insert into notes (n) values ($1)', [n])
    await other.received(n + 1)
    expect(channel.changes).toEqual([])
    channel.handle.close()
  }
  expect(other.changes.map(({ data }) => data.record?.['n'])).toEqual([0, 1, 2, 3])
  other.handle.close()
})

test('tables, columns and roles that are not there', async () => {
  expect(await verdict({ ...NOTES, schema: 'nosuch' })).toBe(nowhere('nosuch', 'notes'))
  expect(await verdict({ ...NOTES, table: 'nosuch' })).toBe(nowhere('public', 'nosuch'))
  expect(await verdict({ ...NOTES, table: 'not_published' })).toBe(nowhere('public', 'not_published'))
  expect(await verdict(NOTES, { ...NOTES, table: 'nosuch' })).toBe(nowhere('public', 'nosuch'))
  expect(await verdict({ ...NOTES, select: ['nope'] })).toBe(
    `${PREFIX}[event: *, schema: public, table: notes, filters: [], select: ["nope"]]. Exception: ERROR P0001 (raise_exception) invalid column for select nope`,
  )
  for (const role of ['nosuch', 'none', 'other', 'postgres', 'tidewire_checker', 'pg_read_all_data', 'public']) {
    const channel = it.open({ entries: [NOTES], identity: asRole(role) })
    const { status, message } = await channel.verdict()
    expect([role, status, /ERROR (42704|42501)/.test(message)]).toEqual([role, 'error', true])
  }
})

test('a refusal has a code, and a hint with the SQL that mends it (rule D17)', async () => {
  const fault = async (entry: unknown, identity = asRole('anon')): Promise<unknown> => {
    const channel = it.open({ entries: [entry], identity })
    const { status, extra } = await channel.verdict()
    channel.handle.close()
    return status === 'error' ? [extra?.['code'], extra?.['hint']] : status
  }
  const missing = 'There is no table public.%s that this role may read: check the name, create it, or grant SELECT on it.'
  expect(await fault({ ...NOTES, table: 'nosuch' })).toEqual(['missing-table', missing.replace('%s', 'nosuch')])
  // A client learns nothing of tables that it may not read.
  expect(await fault({ ...NOTES, table: 'hidden' })).toEqual(['missing-table', missing.replace('%s', 'hidden')])
  expect(await fault({ ...NOTES, table: 'a"b\0' })).toEqual(['missing-table', expect.any(String)])
  expect(await fault({ ...NOTES, table: 'not_published' })).toEqual([
    'not-published',
    'The table public.not_published is not published: alter publication supabase_realtime add table public.not_published;',
  ])
  expect(await fault({ ...NOTES, table: 'keyless' })).toEqual([
    'no-primary-key',
    'The table public.keyless has no primary key and is not published: alter table public.keyless add column id bigint generated always as identity primary key; alter publication supabase_realtime add table public.keyless;',
  ])
  expect(await fault({ schema: 'nosuch' })).toEqual(['not-published', expect.stringContaining('no table that fits nosuch.*')])
  expect(await fault({ ...NOTES, filter: 'nope=eq.1' })).toEqual([
    'invalid-filter',
    'public.notes has no column nope that the role anon may read.',
  ])
  expect(await fault({ ...NOTES, filter: 'n=eq.abc' })).toEqual(['invalid-filter', expect.stringContaining('n is of type int4')])
  expect(await fault({ ...NOTES, filter: 'n=between.1' })).toEqual(['invalid-filter', expect.any(String)])
  expect(await fault({ ...NOTES, select: ['nope'] })).toEqual(['invalid-select', expect.any(String)])
  expect(await fault({ schema: '*', table: '*', select: ['id'] })).toEqual(['invalid-select', expect.any(String)])
  expect(await fault({})).toEqual(['invalid-entry', expect.any(String)])
  expect(await fault(null)).toEqual(['invalid-entry', expect.any(String)])
  for (const role of ['nosuch', 'other']) expect(await fault(NOTES, asRole(role))).toEqual(['not-allowed', expect.stringContaining(role)])
})

test('what a subscription will not get is said to clients that ask for positions (rule D15)', async () => {
  const advice = async (entry: unknown, request: object = {}, identity = asRole('anon')): Promise<unknown[]> => {
    const channel = it.open({ entries: [entry], identity, positions: true, ...request })
    await channel.subscribed()
    // A second channel that is live: what the first one is advised of has come.
    const later = it.open({ entries: [NOTES] })
    await later.subscribed()
    later.handle.close()
    channel.handle.close()
    return channel.systems
      .filter(({ message }) => message !== 'Position')
      .slice(1)
      .map(({ extra }) => [extra?.['live'], extra?.['code']])
  }
  expect(await advice(NOTES)).toEqual([])
  expect(await advice({ ...NOTES, filter: 'id=eq.1' })).toEqual([])
  expect(await advice({ ...NOTES, filter: 'n=eq.1' })).toEqual([[true, 'deletes-not-filterable']])
  expect(await advice({ ...NOTES, event: 'DELETE', filter: 'n=eq.1' })).toEqual([[true, 'deletes-not-filterable']])
  expect(await advice({ ...NOTES, event: 'INSERT', filter: 'n=eq.1' })).toEqual([])
  expect(await advice({ ...NOTES, table: 'full_rows', filter: 'room=eq.1' })).toEqual([])
  expect(await advice({ ...NOTES, table: 'published_keyless' })).toEqual([[true, 'no-primary-key']])
  expect(await advice({ schema: 'private_schema', table: 'things' })).toEqual([[true, 'not-allowed']])
  expect(await advice({ ...NOTES, filter: 'n=eq.1' }, { positions: false })).toEqual([])
})

test('what is accepted', async () => {
  const good = [
    NOTES,
    { ...NOTES, event: 'BOGUS' },
    { schema: 'public' },
    { table: 'notes' },
    { schema: '*' },
    { schema: 'private_schema', table: 'things' },
    { ...NOTES, select: ['body'] },
    { ...NOTES, select: [] },
    { ...NOTES, filter: '  ' },
  ]
  for (const entry of good) expect([entry, await verdict(entry)]).toEqual([entry, 'ok Subscribed to PostgreSQL'])
  expect(await verdict(null, NOTES)).toBe('ok Subscribed to PostgreSQL')
})

test('SQL in names and values stays text', async () => {
  const evil = [
    `'; drop table notes; --`,
    `") ; drop table notes; --`,
    `$$; drop table notes; $$`,
    `1); drop table notes; --`,
    '\0',
    '\\',
    `'`,
    `"`,
  ]
  for (const text of evil) {
    const messages = await Promise.all([
      verdict({ ...NOTES, schema: text }),
      verdict({ ...NOTES, table: text }),
      verdict({ ...NOTES, select: [text] }),
      verdict({ ...NOTES, filter: `${text.replaceAll('=', '')}=eq.1` }),
      verdict({ ...NOTES, filter: `n=eq.${text}` }),
      verdict({ ...NOTES, filter: `n=in.(${text})` }),
    ])
    expect([text, messages.filter((message) => !message.startsWith('error '))]).toEqual([text, []])
    await verdict({ ...NOTES, filter: `body=match.${text}` })
    await verdict({ ...NOTES, filter: `body=eq.${text}` })
    const channel = it.open({ entries: [NOTES], identity: asRole(text) })
    expect((await channel.verdict()).status).toBe('error')
  }
  const claims = { sub: `'; drop table notes; --`, 'a"b': `'); select 1; --` }
  const channel = it.open({ entries: [NOTES], identity: asRole('anon', claims) })
  await channel.subscribed()
  await it.sql.query(`insert into notes (body) values ('still here')`)
  await channel.received(1)
  channel.handle.close()
})

test('filters mean what SQL means by them', async () => {
  const filters = [
    ...[
      'n=eq.5',
      'n=neq.5',
      'n=lt.5',
      'n=lte.5',
      'n=gt.5',
      'n=gte.5',
      'n=in.(1,5,9)',
      'n=in.(1,null)',
      'n=not.in.(1,null)',
      'n=eq. 5',
      'n=eq.05',
    ],
    ...[
      'body=like.he%',
      'body=ilike.HE%',
      'body=not.ilike.HE%',
      'ok=is.true',
      'ok=is.unknown',
      'ok=not.is.null',
      'n=is.null',
      'body=match.^h.*o$',
    ],
    ...[
      'body=imatch.^H',
      'n=isdistinct.5',
      'n=not.isdistinct.5',
      'n=not.eq.5',
      'body=not.in.(a,b)',
      'n=gt.0,n=lt.6',
      'body=eq."a,b"',
      'body=eq.',
    ],
    ...[
      'num=eq.1.50',
      'num=gt.1',
      'num=in.(1.5,2)',
      'f=eq.-0',
      'f=lt.0.5',
      'd=gte.2024-02-29',
      'd=eq.29 Feb 2024',
      'body=gt.a',
      'ok=eq.yes',
    ],
    ...['num=isdistinct.1.5', 'body=like.%\\%%', 'ok=neq.true', 'n=in.()', 'n=not.in.()'],
  ]
  const channel = it.open({ entries: filters.map((filter) => ({ ...NOTES, filter })) })
  await channel.subscribed()
  const rows = [
    `('hello', 5, true, 1.5, 0, '2024-02-29')`,
    `('HELLO', 9, false, 1.50, '-0', '2024-03-01')`,
    `('a', 1, null, 2, 0.4, null)`,
    `('a,b', null, true, null, null, '0044-01-01 BC')`,
    `('', 0, false, 'NaN', 'NaN', 'infinity')`,
    `(null, 7, null, 0, 1e300, '-infinity')`,
    `('50% off', -3, true, 1000000000000000000000.0000000001, 'Infinity', 'epoch')`,
  ]
  const CONDITIONS: Record<string, string> = {
    'n=in.(1,null)': 'n = any(array[1, null])',
    'n=not.in.(1,null)': 'not (n = any(array[1, null]))',
    'n=in.()': `n = any('{}')`,
    'n=not.in.()': `not (n = any('{}'))`,
  }
  for (const row of rows) {
    const before = channel.changes.length
    const { rows: inserted } = await it.sql.query<{ id: number }>(`insert into notes (body, n, ok, num, f, d) values ${row} returning id`)
    const expected: number[] = []
    for (const [index, filter] of filters.entries()) {
      const condition = CONDITIONS[filter] ?? sqlOf(filter)
      const { rows: found } = await it.sql.query(`select from notes where id = $1 and (${condition})`, [inserted[0]!.id])
      if (found.length > 0) expected.push(index + 1)
    }
    await channel.received(before + 1)
    const { ids } = channel.changes.at(-1)!
    expect([row, ids.map((id) => filters[id - 1])]).toEqual([row, expected.map((id) => filters[id - 1])])
  }
  channel.handle.close()
})

/** An independent reading of the plain filters of this test. */
function sqlOf(text: string): string {
  if (/,\w+=/.test(text))
    return text
      .split(/,(?=\w+=)/)
      .map((part) => `(${sqlOf(part)})`)
      .join(' and ')
  const [, column, not, op, value] = /^(\w+)=(not\.)?(\w+)\.(.*)$/s.exec(text)!
  const literal = `'${value!.replace(/^"(.*)"$/, '$1').replaceAll("'", "''")}'`
  const symbols: Record<string, string> = {
    ...{ eq: '=', neq: '<>', lt: '<', lte: '<=', gt: '>', gte: '>=', like: 'like', ilike: 'ilike', match: '~', imatch: '~*' },
    isdistinct: 'is distinct from',
  }
  const plain =
    op === 'is'
      ? `${column} is ${value}`
      : op === 'in'
        ? `${column} in (${value!
            .slice(1, -1)
            .split(',')
            .map((item) => `'${item}'`)
            .join()})`
        : `${column} ${symbols[op!]} ${literal}`
  return not === undefined ? plain : `not (${plain})`
}

test('a role that no name of Postgres can be is refused, and does not hold up those who subscribe with it', async () => {
  const bad = it.open({ entries: [{ schema: 'public', table: 'notes' }], identity: asRole('anon\0') })
  const good = it.open({ entries: [{ schema: 'public', table: 'notes' }] })
  await good.subscribed()
  expect(await bad.verdict()).toMatchObject({ status: 'error', extra: { code: 'not-allowed' } })
  for (const each of [bad, good]) each.handle.close()
})
