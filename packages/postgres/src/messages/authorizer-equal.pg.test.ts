/** Which identities share a question to the policies, and that nobody gets the answer of another. */
import type { Authorization, Authorizer, Claims, Identity } from '@tidewire/server'
import type { ClientBase } from 'pg'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { usePostgres } from '../../test/postgres.ts'
import { migrate } from '../io/migrate.ts'
import { databasePool, type DatabasePool } from '../io/sessions/database-pool.ts'
import { policyAuthorizer } from '../io/sessions/policy-authorizer.ts'

const postgres = usePostgres()
let admin: pg.Client
let pool: DatabasePool
let authorizer: Authorizer
/** Of each batch, how many questions it had; and how often the policies were read. */
let batches: number[] = []
let loads = 0

beforeAll(async () => {
  const url = await postgres.createDatabase()
  admin = new pg.Client({ connectionString: url })
  await admin.connect()
  await migrate(admin)
  await admin.query(`
    grant usage on schema public to authenticated;
    create table rooms (room text, tenant text);
    alter table rooms enable row level security;
    grant select on rooms to authenticated;
    insert into rooms values ('red', 'x');
    create function team_of_token() returns text language sql stable as $$ select current_setting('request.jwt.claims', true)::jsonb ->> 'team' $$;
    create function hidden_team() returns text language plpgsql stable as $$ begin return auth.jwt() ->> 'team'; end $$;
    create function owners_team() returns text language sql stable security definer as $$ select auth.jwt() ->> 'team' $$;
    create function spaced() returns text language sql stable as $$ select current_setting('request.jwt.claims', true)::jsonb ->> 'te am' $$`)
  pool = databasePool({ url, maxConnections: 3, connectTimeoutMs: 2_000 })
  authorizer = policyAuthorizer({ withSession: (work) => pool.withSession((session) => work(watched(session))) })
})
afterAll(async () => {
  await pool.close()
  await admin.end()
})

const sessions = new WeakMap<ClientBase, ClientBase>()

/** The session itself, with notes of what it is asked. */
function watched(session: ClientBase): ClientBase {
  const known = sessions.get(session)
  if (known !== undefined) return known
  const proxy = new Proxy(session, {
    get: (target, name) => {
      if (name !== 'query') return Reflect.get(target, name, target) as unknown
      return async (text: string, values?: unknown[]): Promise<unknown> => {
        const questions = /tidewire_authorize\( E'(\[.*?\])', /.exec(text)?.[1]
        if (questions !== undefined) batches.push(questions.split('"topic":').length - 1)
        const result = await target.query(text, values)
        if (text === 'commit') loads++
        return result
      }
    },
  })
  sessions.set(session, proxy)
  return proxy
}

const identity = (claims: Claims, headers: Readonly<Record<string, string>> = {}): Identity => ({
  role: 'authenticated',
  claims: { role: 'authenticated', ...claims },
  headers,
})

/** Asks for all in one turn. */
async function readAll(identities: readonly Identity[], subTopic = 'red'): Promise<boolean[]> {
  batches = []
  const answers = await Promise.all(identities.map((each) => authorizer.read({ subTopic, identity: each })))
  return answers.map((answer: Authorization) => answer.ok && answer.broadcast && answer.presence)
}

const total = (): number => batches.reduce((sum, each) => sum + each, 0)

/** Changes policies, and waits until the authorizer has read them as they are then. */
async function alter(sql: string): Promise<void> {
  await admin.query(sql)
  const before = loads
  const somebody = identity({ sub: 'nobody' })
  await expect
    .poll(
      async () => {
        await readAll([somebody], 'no such room')
        return loads
      },
      { timeout: 10_000 },
    )
    .toBeGreaterThan(before)
  // The first question afterwards compares versions.
  await readAll([somebody], 'no such room')
}

const drop = 'drop policy if exists joins on realtime.messages; drop policy if exists tenants on rooms'
const policy = (using: string): string => `${drop}; create policy joins on realtime.messages for select to authenticated using (${using})`

const a = { sub: '11111111-1111-1111-1111-111111111111', team: 'red', email: 'a@example.org' }
const b = { sub: '22222222-2222-2222-2222-222222222222', team: 'red', email: 'b@example.org' }
const other = { sub: '33333333-3333-3333-3333-333333333333', team: 'blue', email: 'c@example.org' }

describe('are asked once: two users of one team, whose policies read the team alone', () => {
  test.each([
    `auth.jwt() ->> 'team' = realtime.topic()`,
    `(select auth.jwt()) ->> 'team' = (select realtime.topic())`,
    `auth.jwt() ->> 'team' = realtime.topic() and now() > '2020-01-01' and extension in ('broadcast', 'presence')`,
    `team_of_token() = realtime.topic()`,
    `realtime.topic() like (auth.jwt() ->> 'team') || '%'`,
    `exists (select from rooms where room = realtime.topic() and room = auth.jwt() ->> 'team')`,
  ])('%s', async (using) => {
    await alter(`${policy(using)}; create policy tenants on rooms using (true)`)
    expect(await readAll([a, b, other].map((claims) => identity(claims)))).toEqual([true, true, false])
    expect(total()).toBe(2)
    // Headers are not read: what a proxy adds to them makes no difference.
    expect(await readAll([identity(a, { 'x-request-id': '1' }), identity(a, { 'x-request-id': '2' })])).toEqual([true, true])
    expect(total()).toBe(1)
  })
})

describe('are asked each for itself: users whose policies may read anything', () => {
  test.each([
    `auth.jwt() @> '{"team":"red"}' and realtime.topic() = 'red'`,
    `auth.jwt() ->> 'team' = realtime.topic() and auth.jwt() is not null`,
    `current_setting('request.jwt.claims', true)::jsonb ->> 'team' = realtime.topic()`,
    `hidden_team() = realtime.topic()`,
    `owners_team() = realtime.topic()`,
    `auth.jwt() ->> lower('TEAM') = realtime.topic()`,
    `auth.jwt() ->> 'team' = realtime.topic() and spaced() is null`,
    `auth.jwt() ->> 'team' = realtime.topic() and random() >= 0`,
    `auth.jwt() ->> 'team' = realtime.topic() and coalesce(current_setting('request.headers', true), '') <> 'x'`,
  ])('%s', async (using) => {
    await alter(policy(using))
    expect(await readAll([a, b, other].map((claims) => identity(claims)))).toEqual([true, true, false])
    expect(total()).toBe(3)
  })
})

test('the claims that the policies of another table read count as well', async () => {
  await alter(
    `${policy('exists (select from rooms where room = realtime.topic())')}; create policy tenants on rooms using (tenant = auth.jwt() ->> 'tenant')`,
  )
  const claims = [
    { ...a, tenant: 'x' },
    { ...b, tenant: 'x' },
    { ...a, tenant: 'y' },
  ]
  expect(await readAll(claims.map((each) => identity(each)))).toEqual([true, true, false])
  expect(total()).toBe(2)
})

test('the role and the topic are part of a question, and so are claims that jsonb may not take', async () => {
  await alter(policy(`auth.jwt() ->> 'team' = realtime.topic()`))
  const anonymous: Identity = { ...identity(a), role: 'anon' }
  const unreadable = identity({ ...a, note: 'a\u0000b' })
  expect(await readAll([identity(a), anonymous, unreadable])).toEqual([true, false, false])
  expect(total()).toBe(3)
  batches = []
  const [red, blue] = await Promise.all(['red', 'blue'].map((subTopic) => authorizer.read({ subTopic, identity: identity(a) })))
  expect([red, blue]).toMatchObject([{ broadcast: true }, { broadcast: false }])
})

test('writes are not shared: triggers and constraints may read anything', async () => {
  await alter(policy(`auth.jwt() ->> 'team' = realtime.topic()`))
  batches = []
  await Promise.all([a, b].map((claims) => authorizer.write({ subTopic: 'red', identity: identity(claims) })))
  expect(total()).toBe(2)
})

describe('what was altered a moment ago counts, though the questions were found equal before', () => {
  beforeEach(() =>
    alter(`${policy(`exists (select from rooms where room = realtime.topic()) and team_of_token() = realtime.topic()`)};
      create policy tenants on rooms using (true);
      create or replace function team_of_token() returns text language sql stable as $$ select current_setting('request.jwt.claims', true)::jsonb ->> 'team' $$`),
  )

  const onlyA = `auth.uid() = '${a.sub}'`
  test.each([
    ['the policy', `alter policy joins on realtime.messages using (${onlyA})`],
    ['another policy', `create policy more on realtime.messages as restrictive for select to authenticated using (${onlyA})`],
    [
      'a function that it calls',
      `create or replace function team_of_token() returns text language sql stable as $$ select case when ${onlyA} then 'red' end $$`,
    ],
    ['the policy of a table that it reads', `alter policy tenants on rooms using (${onlyA})`],
  ])('%s', async (_what, alteration) => {
    expect(await readAll([identity(a), identity(b)])).toEqual([true, true])
    expect(total()).toBe(1)
    await admin.query(alteration)
    try {
      // In both orders: the second may not get the answer of the first.
      expect(await readAll([identity(a), identity(b)])).toEqual([true, false])
      await admin.query('analyze rooms')
      expect(await readAll([identity(b), identity(a)])).toEqual([false, true])
    } finally {
      await admin.query('drop policy if exists more on realtime.messages')
    }
  })

  test('while questions run', async () => {
    const identities = Array.from({ length: 200 }, (_, n) => identity(n % 2 === 0 ? a : b))
    const running = readAll(identities)
    await admin.query(`alter policy joins on realtime.messages using (${onlyA})`)
    const after = await readAll(identities)
    await running
    expect(after).toEqual(identities.map((_, n) => n % 2 === 0))
  })
})
