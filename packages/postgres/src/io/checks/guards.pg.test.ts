/** Guards of the checks that other guards hide as a rule: each alone, in the moment for which it is there. */
import { createHash } from 'node:crypto'
import type pg from 'pg'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { usePostgres } from '../../../test/postgres.ts'
import type { CatalogTable } from '../../catalog/catalog-table.ts'
import type { OldRowCheck, RowCheck } from '../../decide/feed-database.ts'
import { loadCatalogTables } from '../catalog/feed-catalog.ts'
import { loadPolicyVersions } from '../catalog/policy-version.ts'
import type { Queryable } from '../../catalog/queryable.ts'
import { rowChecks } from '../feed/feed-database.ts'
import type { FeedSessions } from '../sessions/feed-sessions.ts'
import { databasePool, type SessionPool } from '../sessions/session-pool.ts'
import { evaluated } from './evaluated.ts'
import { testFilters } from './filter-values.ts'
import { checkOldRows } from './image-checker.ts'
import { checkRows } from './row-checker.ts'

const postgres = usePostgres()
const role = 'guarded_reader'
const identity = { key: '', id: 1, role, claims: '{}' }
const identities: RowCheck['identities'] = [{ identity, rows: [0] }]
const options = { timeoutMs: 10_000, isolates: true, leavesNothing: false, until: Infinity }
const LOCK = 4_711

let url: string
let sql: pg.Client
let writer: pg.Client
let sessions: SessionPool

beforeAll(async () => {
  url = await postgres.createDatabase()
  sql = await postgres.connect(url)
  writer = await postgres.connect(url)
  sessions = databasePool({ url, maxConnections: 2, connectTimeoutMs: 5_000, prepare: 'set statement_timeout = 3000' })
  await sql.query(
    `create role ${role} nologin;
     create sequence tries; create function allowed() returns bool language plpgsql as 'begin return false; end';
     create function gate() returns bool language plpgsql as $$ begin
       if nextval('public.tries') = 1 then raise 'the first question fails, so that the next one is guarded'; end if;
       perform pg_advisory_lock_shared(${LOCK}); perform pg_advisory_unlock_shared(${LOCK});
       return false;
     end $$;
     create table guarded (id int primary key); alter table guarded enable row level security; insert into guarded values (1);
     create policy guarded on guarded for select to ${role} using (case when public.allowed() then true else public.gate() end);
     create table remembered (id int primary key, secret text); alter table remembered replica identity full;
     alter table remembered enable row level security; create policy remembered on remembered for select to ${role} using (true);
     create sequence looks; create function looked() returns bool language plpgsql as $$ begin
       if nextval('public.looks') > 2 then perform pg_sleep(10); end if; return true; end $$;
     create table sleepy (id int primary key, body text); insert into sleepy values (1, 'now');
     alter table sleepy enable row level security; create policy sleepy on sleepy for select to ${role} using (pg_sleep(0.2) is null);
     create table partly (id int primary key, body text, large text); insert into partly values (1, 'now', 'l'), (2, 'two', 'l');
     alter table partly enable row level security; create policy partly on partly for select to ${role} using (public.looked());
     grant select on guarded, remembered, partly, sleepy to ${role}; grant usage on sequence tries, looks to ${role}`,
  )
})
afterAll(async () => {
  await sessions.close()
  await Promise.all([sql.end(), writer.end()])
})

async function tableOf(session: Queryable, name: string): Promise<CatalogTable> {
  const { rows } = await session.query(`select '${name}'::regclass::oid::int8::float8 as oid`)
  const { oid } = (rows as { oid: number }[])[0]!
  return (await loadCatalogTables(session, [oid], [role])).get(oid)!
}

test('a guarded check that denied under an older policy is not current, though the policy is by its end', async () => {
  await sql.query(`select pg_advisory_lock(${LOCK})`)
  await writer.query(`begin; create or replace function allowed() returns bool language plpgsql as 'begin return true; end'`)
  // As it is once the writer has committed.
  const table = await tableOf(writer, 'guarded')
  const check: RowCheck = { table, role, keys: [['1']], columns: [1], images: [['1']], identities, xids: [], waits: true }
  const asked = checkRows(sessions, check, options)
  const isWaiting = `select from pg_locks where locktype = 'advisory' and objid = ${LOCK} and not granted`
  await expect.poll(async () => (await sql.query(isWaiting)).rowCount, { timeout: 10_000 }).toBe(1)
  await writer.query('commit')
  await sql.query(`select pg_advisory_unlock(${LOCK})`)
  expect(await asked).toMatchObject({ current: false })
  expect(await checkRows(sessions, check, options)).toEqual({
    current: true,
    slow: expect.any(Boolean),
    identities: [{ ok: true, visible: new Map([[0, 'image']]) }],
  })
})

test('an old row is denied to a role that may not select it, whatever is remembered of its privileges', async () => {
  const table = await tableOf(sql, 'remembered')
  const ask = async (asked: CatalogTable): Promise<unknown> => {
    const check: OldRowCheck = { table: asked, role, rows: ['(1,hidden)'], identities, xids: [], waits: true }
    return sessions.withSession((session) => checkOldRows(session, check, options))
  }
  expect(await ask(table)).toEqual({ current: true, identities: [{ ok: true, visible: new Map([[0, 'image']]) }] })
  await sql.query(`revoke select on remembered from ${role}`)
  const [[loaded] = []] = await loadPolicyVersions(sql, [{ reach: table.reach, roles: [role] }])
  const remembered = { ...table, roles: new Map([[role, { ...table.roles.get(role)!, ...loaded }]]) }
  expect(await ask(remembered)).toMatchObject({ current: true, identities: [{ ok: false, message: expect.stringContaining('denied') }] })
})

test('policies that take too long where a row is read again whole take too long for all rows, so that none is lost', async () => {
  const table = await tableOf(sql, 'partly')
  const images = ['old', 'two'].map((body, row) => [`${row + 1}`, body, undefined])
  const check: RowCheck = {
    ...{ table, role, keys: [['1'], ['2']], columns: [1, 2, 3], images, xids: [], waits: true },
    identities: [{ identity, rows: [0, 1] }],
  }
  expect(await checkRows(sessions, check, { ...options, isolates: false })).toMatchObject({
    identities: [{ ok: false, timedOut: true }],
  })
})

test('an operator that a user has made takes no part in a check', async () => {
  await sql.query(`create table large (id int primary key, body text); insert into large values (1, repeat('l', 3000));
    alter table large enable row level security; create policy large on large for select to ${role} using (true); grant select on large to ${role};
    create function spy(tid[], tid) returns tid[] language plpgsql as $$ begin raise 'it was called'; end $$;
    create operator || (leftarg = tid[], rightarg = tid, function = spy)`)
  const images = [['1', 'l'.repeat(3_000)]]
  const several = [1, 2].map((id) => ({ identity: { ...identity, id }, rows: [0] }))
  const table = await tableOf(sql, 'large')
  const check: RowCheck = { table, role, keys: [['1']], columns: [1, 2], images, identities: several, xids: [], waits: true }
  const visible = { ok: true, visible: new Map([[0, 'image']]) }
  expect(await checkRows(sessions, check, options)).toMatchObject({ current: true, identities: [visible, visible] })
})

/** Each identity, filter or text alone would take a tenth of a second, a hundred of them far longer than a question may. */
const soon = (): typeof options => ({ ...options, timeoutMs: 100, until: performance.now() + 300 })
const many = Array.from({ length: 100 }, (_, id) => ({ identity: { ...identity, id }, rows: [0] }))
const outOfTime = { code: '57014', message: expect.stringContaining('in all') }

test('a question ends when its time is up, however many identities it is about', async () => {
  const table = await tableOf(sql, 'sleepy')
  const check: RowCheck = { table, role, keys: [['1']], columns: [1, 2], images: [['1', 'now']], identities: many, xids: [], waits: true }
  await expect(checkRows(sessions, check, soon())).rejects.toMatchObject(outOfTime)
  await expect(checkRows(sessions, check, { ...soon(), leavesNothing: true })).rejects.toMatchObject(outOfTime)
  const old: OldRowCheck = { table: await tableOf(sql, 'remembered'), role, rows: ['(1,now)'], identities: many, xids: [], waits: true }
  const past = { ...options, until: performance.now() }
  await expect(sessions.withSession((session) => checkOldRows(session, old, past))).rejects.toMatchObject(outOfTime)
})

test('filters that are tested in halves, since some of them fail, end when time is up', async () => {
  const column = (await tableOf(sql, 'sleepy')).columns[1]!
  const check = { column, op: 'match', negate: false, operands: many.map(() => ['[']), texts: ['now'] } as const
  const few = await sessions.withSession((session) => testFilters(session, check, { isolates: true, until: performance.now() + 20 }))
  expect(few).toHaveLength(many.length)
  expect(few.at(-1)).toEqual({ ok: false, message: expect.stringContaining('in all'), timedOut: true })
  const answers = await sessions.withSession((session) => testFilters(session, check, options))
  expect(answers.map(({ ok }) => ok)).toEqual(many.map(() => false))
})

test('filters that take long leave those that are asked together with them their answers', async () => {
  const column = (await tableOf(sql, 'sleepy')).columns[1]!
  const slow = String.raw`^(.*)(.*)(.*)(.*)(.*)\1\2\3\4\5$`
  const text = ['1', '2', '3', '4'].map((part) => createHash('md5').update(part).digest('hex')).join('')
  await sessions.withSession(async (session) => {
    await session.query('set statement_timeout = 400')
    const check = { column, op: 'match', negate: false, operands: [[slow], ['^c4'], [slow], ['^x']], texts: [text] } as const
    const [first, fast, third, other] = await testFilters(session, check, options)
    expect([first, third]).toEqual([1, 2].map(() => expect.objectContaining({ ok: false, timedOut: true })))
    expect([fast, other]).toEqual([
      { ok: true, matches: new Set([0]) },
      { ok: true, matches: new Set() },
    ])
    // The ordered path waits for one time-out, and no longer.
    const query = vi.spyOn(session, 'query')
    expect((await testFilters(session, check, { ...options, isolates: false })).map(({ ok }) => ok)).toEqual([false, false, false, false])
    expect(query).toHaveBeenCalledTimes(2)
    query.mockRestore()
    await session.query('set statement_timeout = 3000')
  })
})

test('one filter or text that fails costs a question few statements, and the others nothing', async () => {
  const column = (await tableOf(sql, 'sleepy')).columns[1]!
  await sessions.withSession(async (session) => {
    const query = vi.spyOn(session, 'query')
    const check = { column, op: 'match', negate: false, operands: [['['], ...many.map(() => ['.'])], texts: ['now'] } as const
    const answers = await testFilters(session, check, options)
    expect(answers.map(({ ok }) => ok)).toEqual([false, ...many.map(() => true)])
    // One for the operator, and one for each of 13 questions.
    expect(query).toHaveBeenCalledTimes(14)
    query.mockClear()
    const texts = [...many.map(() => '1'), '0']
    const evaluation = { role, timeoutMs: 3_000, sql: 'select 1 / v::int as v from unnest($1::text[]) v', texts, until: Infinity }
    expect(await evaluated(session, evaluation)).toEqual([...many.map(() => ({ v: 1 })), null])
    expect(query.mock.calls.length).toBeLessThan(50)
    query.mockRestore()
  })
})

test('texts that are evaluated in halves, since one of them fails, are left out when time is up', async () => {
  const evaluation = {
    role,
    timeoutMs: 3_000,
    sql: 'select 1 / v::int as v from unnest($1::text[]) v',
    texts: ['0', ...many.map(() => '1')],
  }
  const until = (time: number): Promise<unknown> => sessions.withSession((session) => evaluated(session, { ...evaluation, until: time }))
  expect(await until(Infinity)).toEqual([null, ...many.map(() => ({ v: 1 }))])
  expect(await until(performance.now())).toEqual([null, ...many.map(() => null)])
})

test('a question that finds no free session is out of time: the database can be reached', async () => {
  const pool = databasePool({ url, maxConnections: 1, connectTimeoutMs: 1_000 })
  const checks = rowChecks(async () => ({ isolated: pool }) as FeedSessions, 'isolated', options)
  const question = { pairs: [], xids: [], waits: true }
  await pool.withSession(() => expect(checks.checkVersions(question)).rejects.toMatchObject(outOfTime))
  expect(await checks.checkVersions(question)).toEqual([])
  await pool.close()
})
