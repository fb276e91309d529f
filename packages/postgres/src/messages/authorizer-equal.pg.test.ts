/** Which identities share a question to the policies, and that none gets the answer of another. */
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { AskedPolicies, identity } from '../../test/asked-policies.ts'
import { A, HIDDEN, HIDING, sql } from '../../test/hiding-policies.ts'
import { usePostgres } from '../../test/postgres.ts'
import { migrate } from '../io/migrate.ts'

const postgres = usePostgres()
let admin: pg.Client
let url: string
let asked: AskedPolicies
const opened: AskedPolicies[] = []

beforeAll(async () => {
  url = await postgres.createDatabase()
  admin = new pg.Client({ connectionString: url })
  await admin.connect()
  await migrate(admin)
  await admin.query(`
    grant usage on schema public to authenticated, anon;
    create table rooms (room text, tenant text);
    alter table rooms enable row level security;
    grant select on rooms to authenticated;
    insert into rooms values ('red', 'x');
    create view rooms_of_team as select room from rooms where room = ${HIDDEN};
    grant select on rooms_of_team to authenticated;
    ${sql('team_of_token()', `select ${HIDDEN}`)};
    create function hidden_team() returns text language plpgsql stable as $$ begin return auth.jwt() ->> 'team'; end $$`)
})
afterEach(() => Promise.all(opened.splice(0).map((each) => each.close())))
afterAll(() => admin.end())

const CLEAN = `drop policy if exists joins on realtime.messages; drop policy if exists more on realtime.messages;
  drop policy if exists tenants on rooms; drop schema if exists evil cascade; create schema evil; grant usage on schema evil to authenticated, anon`
const policy = (using: string): string => `create policy joins on realtime.messages for select to authenticated using (${using})`

/** Makes the policies anew, and an authorizer that knows them. */
async function given(statements: string, settings = ''): Promise<void> {
  await admin.query(`${CLEAN}; ${statements}`)
  asked = new AskedPolicies(url + settings)
  opened.push(asked)
  await asked.learn()
}

const a = { sub: A, team: 'red', email: 'a@example.org', 'te am': 'red' }
const b = { ...a, sub: '22222222-2222-2222-2222-222222222222', email: 'b@example.org' }
const other = { sub: '33333333-3333-3333-3333-333333333333', team: 'blue', email: 'c@example.org', 'te am': 'blue' }

describe('are asked once: two users of one team, whose policies read the team alone', () => {
  test.each([
    `auth.jwt() ->> 'team' = realtime.topic()`,
    `(select auth.jwt()) ->> 'team' = (select realtime.topic())`,
    `auth.jwt() ->> 'team' = realtime.topic() and current_user = 'authenticated' and extension in ('broadcast', 'presence')`,
    `team_of_token() = realtime.topic()`,
    `auth.role() = 'authenticated' and team_of_token() = realtime.topic()`,
    `realtime.topic() like (auth.jwt() ->> 'team') || '%'`,
    `exists (select from rooms where room = realtime.topic() and room = auth.jwt() ->> 'team')`,
  ])('%s', async (using) => {
    await given(`${policy(using)}; create policy tenants on rooms using (true)`)
    expect(await asked.readAll([a, b, other].map((claims) => identity(claims)))).toEqual([true, true, false])
    expect(asked.batches).toEqual([2])
    // Headers are not read: what a proxy adds to them makes no difference.
    expect(await asked.readAll([identity(a, { 'x-request-id': '1' }), identity(a, { 'x-request-id': '2' })])).toEqual([true, true])
    expect(asked.batches).toEqual([1])
  })
})

describe('are asked each by itself: users whose policies may read anything', () => {
  test.each([
    `auth.jwt() @> '{"team":"red"}' and realtime.topic() = 'red'`,
    `auth.jwt() ->> 'team' = realtime.topic() and auth.jwt() is not null`,
    `auth.jwt() ->> lower('TEAM') = realtime.topic()`,
    `auth.jwt() #>> '{team}' = realtime.topic()`,
    `hidden_team() = realtime.topic()`,
    `auth.jwt() ->> 'team' = realtime.topic() and random() >= 0`,
    `auth.jwt() ->> 'team' = realtime.topic() and clock_timestamp() > '2020-01-01'`,
    `auth.jwt() ->> 'team' = realtime.topic() and coalesce(current_setting('request.headers', true), '') <> 'x'`,
  ])('%s', async (using) => {
    await given(policy(using))
    expect(await asked.readAll([a, b, other].map((claims) => identity(claims)))).toEqual([true, true, false])
    expect(asked.batches).toEqual([3])
  })
})

test.each(Object.entries(HIDING))('each gets its own answer, in both orders: %s', async (_what, [using, setup = '', settings]) => {
  await given(`${setup}; ${policy(using)}`, settings)
  expect(await asked.readAll([identity(a), identity(other)])).toEqual([true, false])
  expect(asked.batches).toEqual([2])
  expect(await asked.readAll([identity(other), identity(a)])).toEqual([false, true])
  expect(asked.batches).toEqual([2])
})

test('the claims that the policies of another table read count as well', async () => {
  await given(
    `${policy('exists (select from rooms where room = realtime.topic())')}; create policy tenants on rooms using (tenant = auth.jwt() ->> 'tenant')`,
  )
  const claims = [
    { ...a, tenant: 'x' },
    { ...b, tenant: 'x' },
    { ...a, tenant: 'y' },
  ]
  expect(await asked.readAll(claims.map((each) => identity(each)))).toEqual([true, true, false])
  expect(asked.batches).toEqual([2])
})

test('the role and the topic are part of a question, and so are claims that jsonb may not take', async () => {
  await given(policy(`auth.jwt() ->> 'team' = realtime.topic()`))
  expect(await asked.readAll([identity(a), identity(a, {}, 'anon'), identity({ ...a, note: 'a\u0000b' })])).toEqual([true, false, false])
  expect(asked.batches).toEqual([3])
  const answers = await Promise.all(['red', 'blue'].map((subTopic) => asked.authorizer.read({ subTopic, identity: identity(a) })))
  expect(answers).toMatchObject([{ broadcast: true }, { broadcast: false }])
})

test('writes are not shared: triggers and constraints may read anything', async () => {
  await given(policy(`auth.jwt() ->> 'team' = realtime.topic()`))
  asked.batches = []
  await Promise.all([a, b].map((claims) => asked.authorizer.write({ subTopic: 'red', identity: identity(claims) })))
  expect(asked.batches).toEqual([2])
})

describe('what was altered a moment ago counts, though the questions were found equal before', () => {
  const shares = `${sql('evil.f()', `select ${HIDDEN}`)}; create policy tenants on rooms using (true);
    ${policy(`exists (select from rooms where room = realtime.topic()) and evil.f() = realtime.topic()`)}`
  const onlyA = `auth.uid() = '${A}'`
  test.each([
    ['the policy', `alter policy joins on realtime.messages using (${onlyA})`],
    ['another policy', `create policy more on realtime.messages as restrictive for select to authenticated using (${onlyA})`],
    [
      'a policy for another role',
      `drop policy joins on realtime.messages; create policy more on realtime.messages for select to public using (${onlyA})`,
    ],
    [
      'a function',
      `create or replace function evil.f() returns text language sql stable as $$ select case when ${onlyA} then 'red' end $$`,
    ],
    [
      'a function, which hides what it reads',
      `create or replace function evil.f() returns text language sql stable security definer as $$ select case when ${onlyA} then 'red' end $$`,
    ],
    ['the policy of a table', `alter policy tenants on rooms using (${onlyA})`],
    [
      'the table',
      `alter table realtime.messages rename to others; create table realtime.messages (like realtime.others including all); grant all on realtime.messages to authenticated;
       alter table realtime.messages enable row level security; create policy joins on realtime.messages for select to authenticated using (${onlyA})`,
      'drop table realtime.messages; alter table realtime.others rename to messages',
    ],
    [
      'an operator of the search path',
      `create operator public.->> (leftarg = jsonb, rightarg = jsonb, function = jsonb_concat)`,
      'drop operator public.->> (jsonb, jsonb)',
    ],
  ])('%s', async (what, alteration, undo = '') => {
    const isLost = what.startsWith('an operator')
    for (const order of [
      [a, b],
      [b, a],
    ]) {
      await given(shares)
      expect(await asked.readAll(order.map((claims) => identity(claims)))).toEqual([true, true])
      expect(asked.batches).toEqual([1])
      await admin.query(alteration)
      try {
        expect(await asked.readAll(order.map((claims) => identity(claims)))).toEqual(order.map((claims) => !isLost && claims === a))
        expect(asked.batches).toEqual([1, 2])
      } finally {
        await admin.query(undo)
      }
    }
  })

  test('where its question waits while the new policies are read', async () => {
    await given(shares)
    const gates: (() => void)[] = []
    asked.beforeBatch = () => new Promise((resolve) => gates.push(resolve))
    const first = asked.readAll([identity(a)], 'first')
    await expect.poll(() => gates.length).toBe(1)
    const waiting = asked.readAll([identity(a), identity(b)])
    await admin.query(`alter policy joins on realtime.messages using (${onlyA})`)
    gates[0]!()
    await expect.poll(() => gates.length).toBe(2)
    asked.aheadMs = 5_000
    const learning = asked.learn()
    await asked.loading
    asked.beforeBatch = () => Promise.resolve()
    gates[1]!()
    expect(await waiting).toEqual([true, false])
    await Promise.all([first, learning])
  })

  test('a table that had another name for a moment', async () => {
    await given(shares)
    await admin.query('alter table realtime.messages rename to others')
    await admin.query('alter table realtime.others rename to messages')
    expect(await asked.readAll([identity(a), identity(b)])).toEqual([true, true])
    expect(asked.batches).toEqual([1, 2])
  })

  test('a role that is gained and lost', async () => {
    await admin.query('create role auditors; alter role authenticated inherit')
    await given(`create policy joins on realtime.messages for select to auditors using (team_of_token() = realtime.topic())`)
    const all = [a, b, other].map((claims) => identity(claims))
    expect(await asked.readAll(all)).toEqual([false, false, false])
    await admin.query('grant auditors to authenticated')
    expect(await asked.readAll(all)).toEqual([true, true, false])
    await admin.query('revoke auditors from authenticated; alter role authenticated noinherit')
    expect(await asked.readAll(all)).toEqual([false, false, false])
    expect(asked.batches.at(-1)).toBe(2)
  })
})
