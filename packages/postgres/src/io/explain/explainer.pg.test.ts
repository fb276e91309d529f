import type { WhyStep } from '@tidewire/protocol'
import type { Explainer } from '@tidewire/server'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { policyAuthorizer } from '../sessions/policy-authorizer.ts'
import { asRole, startFeed, type TestFeed } from '../../../test/feed.ts'
import { usePostgres } from '../../../test/postgres.ts'
import { databasePool, type DatabasePool } from '../sessions/session-pool.ts'

const postgres = usePostgres()
let it: TestFeed
let pool: DatabasePool
let explainer: Explainer

const ME = '11111111-1111-1111-1111-111111111111'
const OTHER = '22222222-2222-2222-2222-222222222222'
const me = asRole('authenticated', { sub: ME })

beforeAll(async () => {
  const url = await postgres.createDatabase()
  it = await startFeed(
    url,
    `create table own (id int primary key, owner uuid, body text);
     alter table own enable row level security;
     create policy mine on own for select to authenticated using (owner = auth.uid());
     create policy short on own as restrictive for select using (own.body <> 'long');
     create table open (id int primary key, body text, secret text);
     create table keyless (body text);
     create table failing (id int primary key);
     alter table failing enable row level security;
     create policy bad on failing for select using (1 / (id - id) = 1);
     create table closed (id int primary key);
     alter table closed enable row level security;
     create table unpublished (id int primary key);
     grant all on all tables in schema public to anon, authenticated, service_role;
     revoke all on open from anon; revoke select on open from authenticated; grant select (id, body) on open to authenticated;
     alter publication supabase_realtime add table own, open, keyless, failing, closed;
     insert into own values (1, '${ME}', 'short'), (2, '${OTHER}', 'short'), (3, '${ME}', 'long');
     insert into open values (5, 'five', 'hidden'); insert into failing values (1); insert into closed values (1);
     create policy rooms on realtime.messages for select to authenticated using (realtime.topic() = 'room:' || (auth.jwt() ->> 'org'));
     create policy nothing on realtime.messages for select to authenticated using (false)`,
  )
  pool = databasePool({ url, maxConnections: 2, connectTimeoutMs: 5_000 })
  explainer = it.feed.explainer(policyAuthorizer({ withSession: (work) => pool.withSession(work) }))
})
afterAll(async () => {
  await pool.close()
  await it.close()
})

function decisive(steps: readonly WhyStep[]): WhyStep | undefined {
  return steps.find(({ outcome }) => outcome !== 'yes')
}

describe('a private topic', () => {
  test('that a policy opens', async () => {
    const steps = await explainer.topic({ subTopic: 'room:7', identity: asRole('authenticated', { org: '7' }) })
    expect(decisive(steps)).toBeUndefined()
    expect(steps.map(({ text }) => text).join('\n')).toMatch(
      /Policy "nothing" does not[^]*Another one does[^]*Policy "rooms" lets it through[^]*it may receive broadcasts and presence, it may send nothing/,
    )
  })

  test('that no policy opens: each is named, with what it says', async () => {
    const step = decisive(await explainer.topic({ subTopic: 'room:8', identity: asRole('authenticated', { org: '7' }) }))!
    expect(step).toMatchObject({
      check: 'policy',
      outcome: 'no',
      text: expect.stringContaining('Policy "nothing" does not: false is false') as string,
    })
    expect(step.sql).toContain('set local role "authenticated"')
    expect(step.sql).toContain(`set_config('realtime.topic', 'room:8', true)`)
  })

  test('for a role without a policy, a role that there is not, and one that must not be taken', async () => {
    const about = async (role: string): Promise<WhyStep> => decisive(await explainer.topic({ subTopic: 'room:7', identity: asRole(role) }))!
    expect(await about('anon')).toMatchObject({
      check: 'policy',
      text: expect.stringContaining('no SELECT policy on realtime.messages for anon') as string,
    })
    expect(await about('nobody')).toMatchObject({ check: 'privilege', text: 'There is no role "nobody" in the database.' })
    expect(await about('postgres')).toMatchObject({
      check: 'privilege',
      text: expect.stringContaining('may not take the role "postgres"') as string,
    })
  })

  test('without the grant', async () => {
    await it.sql.query('revoke select on realtime.messages from anon')
    const step = decisive(await explainer.topic({ subTopic: 'x', identity: asRole('anon') }))
    expect(step).toEqual({
      check: 'privilege',
      outcome: 'no',
      text: 'anon lacks SELECT on realtime.messages.',
      sql: 'grant select on realtime.messages to "anon";',
    })
    await it.sql.query(step!.sql!)
  })
})

describe('a row change', () => {
  const ask = (table: string, id: string, identity = me, filters: readonly string[] = ['']): Promise<readonly WhyStep[]> =>
    explainer.change({ identity, schema: 'public', table, key: { id }, filters })

  test('that arrives', async () => {
    expect(decisive(await ask('own', '1'))).toBeUndefined()
    expect(decisive(await ask('own', '1', me, []))).toBeUndefined()
    expect(decisive(await ask('own', '1', asRole('service_role')))).toBeUndefined()
    const steps = await ask('open', '5')
    expect(decisive(steps)).toBeUndefined()
    expect(steps.map(({ text }) => text).join('\n')).toContain('but not on secret, which it does not get')
  })

  test.each([
    ['own', '2', 'policy', 'Policy "mine" does not: (owner = auth.uid()) is false.'],
    ['own', '3', 'policy', 'Restrictive policy "short" does not'],
    ['own', '9', 'row', 'There is no row with this key now.'],
    ['own', 'x', 'row', 'could not be looked up'],
    ['closed', '1', 'policy', 'no SELECT policy of "public"."closed" is for authenticated'],
    ['failing', '1', 'policy', 'Policy "bad" failed: division by zero'],
    ['keyless', '1', 'publication', 'no primary key'],
    ['unpublished', '1', 'publication', 'is not in the publication supabase_realtime'],
    ["own'; drop table own; --", '1', 'publication', 'is not in the publication'],
  ])('of %s %s is held back by: %s, %s', async (table, id, check, text) => {
    expect(decisive(await ask(table, id))).toMatchObject({ check, outcome: 'no', text: expect.stringContaining(text) as string })
  })

  test('says the same as Postgres does', async () => {
    for (const id of ['1', '2', '3']) {
      await it.sql.query(`begin; set local role authenticated; select set_config('request.jwt.claims', '{"sub":"${ME}"}', true)`)
      const { rowCount } = await it.sql.query('select from own where id = $1', [id])
      await it.sql.query('rollback')
      expect({ id, shown: decisive(await ask('own', id)) === undefined }).toEqual({ id, shown: rowCount === 1 })
    }
  })

  test('by a missing grant, with what mends it', async () => {
    const step = decisive(await ask('open', '5', asRole('anon')))!
    expect(step).toMatchObject({
      check: 'privilege',
      text: 'anon lacks SELECT on "public"."open".',
      sql: 'grant select on "public"."open" to "anon";',
    })
  })

  test('by a filter, with the value', async () => {
    expect(decisive(await ask('open', '5', me, ['id=eq.6']))).toMatchObject({
      check: 'filter',
      text: 'The filter id=eq.6 does not let the row through: id is "5".',
    })
    expect(decisive(await ask('open', '5', me, ['id=eq.6', 'body=in.(five,six)']))).toBeUndefined()
    expect(decisive(await ask('open', '5', me, ['secret=eq.x']))).toMatchObject({
      check: 'filter',
      text: expect.stringContaining('has no column secret that the role authenticated may read') as string,
    })
    expect(decisive(await ask('open', '5', me, ['id=eq.abc']))).toMatchObject({
      check: 'filter',
      text: expect.stringContaining('is refused') as string,
    })
    expect(decisive(await ask('open', '5', me, ['id~5']))).toMatchObject({
      check: 'filter',
      text: expect.stringContaining('makes no sense') as string,
    })
  })

  test('leaves nothing behind, and runs nothing as a superuser', async () => {
    await it.sql.query(`
      create table traces (who text);
      grant all on traces to public;
      create function trace() returns boolean language plpgsql as $$ begin insert into traces values (current_user || ' ' || session_user); return true; end $$;
      create function who() returns boolean language plpgsql as $$ begin raise exception '% % %', current_user, session_user, (select rolsuper from pg_roles where rolname = session_user); end $$;
      create policy tracing on closed for select to authenticated using (trace());
      create policy who on closed for select to authenticated using (who())`)
    const steps = await ask('closed', '1')
    expect(steps.map(({ text }) => text).join('\n')).toMatch(/Policy "tracing" lets it through[^]*authenticated tidewire_checker f/)
    expect((await it.sql.query('select from traces')).rowCount).toBe(0)
  })

  test('takes no longer than it may', async () => {
    await it.sql.query(
      'create table slow (id int primary key); insert into slow values (1); grant select on slow to authenticated; alter table slow enable row level security',
    )
    await it.sql.query(
      'create policy slow on slow for select using (pg_sleep(60) is null); alter publication supabase_realtime add table slow',
    )
    const step = decisive(await ask('slow', '1'))!
    expect(step).toMatchObject({ check: 'policy', outcome: 'no', text: expect.stringContaining('statement timeout') as string })
  })
})

test('an entry names a table by a pattern, but not by the exact name of another published table', async () => {
  await it.sql.query('create table ope_ (id int primary key); alter publication supabase_realtime add table ope_')
  const entries = ['open', 'ope_', 'op__', '*', 'own'].map((table) => ({ schema: 'public', table }))
  const naming = async (table: string): Promise<string[]> =>
    (await explainer.entriesNaming!(entries, { schema: 'public', table })).map((entry) => entry.table)
  expect(await naming('open')).toEqual(['open', 'op__', '*'])
  expect(await naming('ope_')).toEqual(['ope_', 'op__', '*'])
  expect(await naming('unpublished')).toEqual(['*'])
})

describe('the key of a table', () => {
  test('has its columns in its own order, with their types', async () => {
    await it.sql.query(
      'create schema "other ""place"; create table "other ""place"."Odd" (note text, day date, "the id" varchar(20), at int8[], primary key ("the id", day, at))',
    )
    expect(await explainer.table('other "place', 'Odd')).toEqual({
      ok: true,
      answer: {
        primaryKey: [
          { name: 'the id', type: 'character varying(20)' },
          { name: 'day', type: 'date' },
          { name: 'at', type: 'bigint[]' },
        ],
      },
    })
    expect(await explainer.table('public', 'unpublished')).toEqual({
      ok: true,
      answer: { primaryKey: [{ name: 'id', type: 'integer' }] },
    })
  })

  test('is empty where there is none, and refused where there is no table', async () => {
    expect(await explainer.table('public', 'keyless')).toEqual({ ok: true, answer: { primaryKey: [] } })
    for (const [schema, table] of [
      ['public', 'nothing'],
      ['nowhere', 'open'],
      ['pg_catalog', 'pg_tables'],
      ['public', '"open"'],
      ['public', "'; drop table open; --"],
    ] as const)
      expect(await explainer.table(schema, table)).toMatchObject({
        ok: false,
        reason: expect.stringMatching('^UnknownTable: there is no table ') as string,
      })
  })
})

describe('SQL of an inspector', () => {
  test('answers texts, bounded, and says what was left out', async () => {
    const { sql } = it.feed
    expect(await sql.run('select 1::bigint as a, null as b, true as c')).toMatchObject({
      ok: true,
      result: { columns: ['a', 'b', 'c'], rows: [['1', null, 't']], moreRows: 0, command: 'SELECT' },
    })
    const many = await sql.run('select n from generate_series(1, 20000) n')
    expect(many).toMatchObject({ ok: true, result: { rows: { length: 500 }, moreRows: 19_500 } })
    const long = await sql.run(`select repeat('x', 5000000) from generate_series(1, 5)`)
    expect(JSON.stringify(long).length).toBeLessThan(1_100_000)
    expect(await sql.run(`insert into own values (50, null, 'a'); select body from own where id = 50`)).toMatchObject({
      ok: true,
      result: { columns: ['body'], rows: [['a']] },
    })
    expect(await sql.run('')).toMatchObject({ ok: true })
  })

  test('never runs as a superuser, whatever it says, and ends in time', async () => {
    const { sql } = it.feed
    const who = await sql.run('reset role; select session_user, current_user, (select rolsuper from pg_roles where rolname = current_user)')
    expect(who).toMatchObject({ ok: true, result: { rows: [['tidewire_checker', 'tidewire_checker', 'f']] } })
    for (const statement of [
      'set role postgres',
      'set session authorization postgres',
      'create role evil superuser',
      'alter system set fsync = off',
      `copy (select 1) to program 'true'`,
      'selec 1',
    ])
      expect(await sql.run(statement)).toMatchObject({ ok: false, reason: expect.stringMatching('^SqlRefused: ') as string })
    expect(await sql.run('show statement_timeout')).toMatchObject({ result: { rows: [['5s']] } })
  })
})
