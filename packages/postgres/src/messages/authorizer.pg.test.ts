import type { Authorization, Identity } from '@tidewire/server'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { usePostgres } from '../../test/postgres.ts'
import { policyAuthorizer } from '../io/sessions/policy-authorizer.ts'
import { databasePool, type DatabasePool } from '../io/sessions/session-pool.ts'
import { makeConvenient, migrate } from '../io/migrate.ts'
import { databaseMessageStore } from './message-store.ts'

const postgres = usePostgres()
let url: string
let pool: DatabasePool
let admin: pg.Client

beforeAll(async () => {
  url = await postgres.createDatabase()
  admin = new pg.Client({ connectionString: url })
  await admin.connect()
  await migrate(admin)
  await admin.query(`
    create policy can_read on realtime.messages for select to authenticated using (
      (realtime.topic() like 'room:%' and extension in ('broadcast', 'presence'))
      or (realtime.topic() like 'bconly:%' and extension = 'broadcast')
      or (realtime.topic() = 'user:' || auth.uid()::text)
      or (realtime.topic() = 'header' and current_setting('request.headers')::jsonb ->> 'x-team' = 'blue')
      or (realtime.topic() = 'fails' and 1 / (case when auth.uid() is null then 1 else 0 end) = 1));
    create policy can_write on realtime.messages for insert to authenticated with check (
      (realtime.topic() like 'room:%' and extension in ('broadcast', 'presence')) or (realtime.topic() like 'wo:%'));
  `)
  pool = databasePool({ url, maxConnections: 3, connectTimeoutMs: 2_000 })
})
afterAll(async () => {
  await pool.close()
  await admin.end()
})

const sub = '11111111-1111-1111-1111-111111111111'
const user: Identity = { role: 'authenticated', claims: { role: 'authenticated', sub }, headers: {} }
const authorizer = (): ReturnType<typeof policyAuthorizer> => policyAuthorizer({ withSession: (work) => pool.withSession(work) })
const flags = (authorization: Authorization): string =>
  authorization.ok ? `${authorization.broadcast ? 'b' : '-'}${authorization.presence ? 'p' : '-'}` : authorization.reason

describe('policies on realtime.messages decide', () => {
  test.each([
    ['room:1', user, 'bp', 'bp'],
    ['bconly:1', user, 'b-', '--'],
    ['wo:1', user, '--', 'bp'],
    [`user:${sub}`, user, 'bp', '--'],
    ['user:other', user, '--', '--'],
    ['header', user, '--', '--'],
    ['header', { ...user, headers: { 'x-team': 'blue' } }, 'bp', '--'],
    ['room:1', { ...user, role: 'anon' }, '--', '--'],
    ['room:1', { ...user, role: 'service_role' }, 'bp', 'bp'],
    ["room:'; drop table realtime.messages; --", user, 'bp', 'bp'],
  ] as const)('%s as %o: reads %s, writes %s', async (subTopic, identity, reads, writes) => {
    expect(flags(await authorizer().read({ subTopic, identity }))).toBe(reads)
    expect(flags(await authorizer().write({ subTopic, identity }))).toBe(writes)
  })

  test.each(['none', 'postgres', 'nobody_here', '', "anon'; reset role; --"])('the role %j may nothing', async (role) => {
    for (const ask of ['read', 'write'] as const)
      expect(flags(await authorizer()[ask]({ subTopic: 'room:1', identity: { ...user, role } }))).toBe('--')
  })

  test.each(['postgres', 'pg_read_all_data'])('tokens may not take the role %s', async (role) => {
    expect(await authorizer().read({ subTopic: 'room:1', identity: { ...user, role } })).toMatchObject({
      broadcast: false,
      detail: expect.stringContaining(`okens may not take the role "${role}"`) as string,
    })
  })

  test('memberships and attributes of a role count from their commit, though a session keeps its plans', async () => {
    await admin.query(
      `create role late_member nologin; create role late_group nologin; grant usage on schema realtime to late_member;
       grant select, insert on realtime.messages to late_member;
       create policy late_read on realtime.messages for select to late_group using (realtime.topic() = 'late');
       create policy late_write on realtime.messages for insert to late_group with check (realtime.topic() = 'late')`,
    )
    const one = databasePool({ url, maxConnections: 1, connectTimeoutMs: 2_000 })
    const asks = policyAuthorizer({ withSession: (work) => one.withSession(work) })
    const question = { subTopic: 'late', identity: { ...user, role: 'late_member' } }
    const both = async (): Promise<string[]> => [flags(await asks.read(question)), flags(await asks.write(question))]
    try {
      expect(await both()).toEqual(['--', '--'])
      for (const [alteration, expected] of [
        ['grant late_group to late_member', 'bp'],
        ['revoke late_group from late_member', '--'],
        ['alter role late_member bypassrls', 'bp'],
        ['alter role late_member nobypassrls', '--'],
      ] as const) {
        await admin.query(alteration)
        expect([alteration, ...(await both())]).toEqual([alteration, expected, expected])
      }
    } finally {
      await one.close()
      await admin.query('drop policy late_read on realtime.messages; drop policy late_write on realtime.messages')
    }
  })

  test('one that raises for a user says no to that user, and why', async () => {
    const failed = await authorizer().read({ subTopic: 'fails', identity: user })
    expect(failed).toMatchObject({
      ok: true,
      broadcast: false,
      presence: false,
      detail: expect.stringContaining('division by zero') as string,
    })
    expect(flags(await authorizer().read({ subTopic: 'room:1', identity: user }))).toBe('bp')
  })

  test('a refusal names role, topic and the missing kind of policy', async () => {
    const refused = await authorizer().write({ subTopic: 'bconly:1', identity: user })
    expect(refused).toMatchObject({
      detail: 'no INSERT policy on realtime.messages lets authenticated use broadcast and presence on topic "bconly:1"',
    })
  })

  test('a policy that changes counts from the next question on', async () => {
    expect(flags(await authorizer().read({ subTopic: 'later:1', identity: user }))).toBe('--')
    await admin.query("create policy later on realtime.messages for select to authenticated using (realtime.topic() like 'later:%')")
    expect(flags(await authorizer().read({ subTopic: 'later:1', identity: user }))).toBe('bp')
  })

  test('probes leave nothing behind, neither rows nor a role on the session', async () => {
    const { rows } = await admin.query<{ n: number }>('select count(*)::int as n from realtime.messages')
    expect(rows[0]!.n).toBe(0)
    const who = await pool.withSession((session) =>
      session.query("select current_user::text as who, current_setting('request.jwt.claims', true) as claims"),
    )
    expect(who.rows).toEqual([{ who: 'postgres', claims: '' }])
  })

  test('many questions share few sessions; a policy that sleeps is cut off and no other waits for it', async () => {
    await admin.query(
      "create policy slow on realtime.messages for select to authenticated using (realtime.topic() <> 'slow' or pg_sleep(60) is null)",
    )
    const slow = authorizer().read({ subTopic: 'slow', identity: user })
    const many = await Promise.all(Array.from({ length: 50 }, (_, n) => authorizer().read({ subTopic: `room:${n}`, identity: user })))
    expect(many.map(flags)).toEqual(Array<string>(50).fill('bp'))
    expect(flags(await slow)).toMatch(/^QueryCanceled: /)
    await admin.query('drop policy slow on realtime.messages')
  })
})

test('without a database there is no answer, and the reason says so', async () => {
  const gone = databasePool({ url: 'postgres://postgres@127.0.0.1:1/postgres', maxConnections: 1, connectTimeoutMs: 500 })
  const asked = policyAuthorizer({ withSession: (work) => gone.withSession(work) })
  expect(flags(await asked.read({ subTopic: 'room:1', identity: user }))).toMatch(/^UnableToConnectToProject: /)
  expect(await databaseMessageStore(gone).replay('room:1', 0, 25)).toMatchObject({ ok: false })
  await gone.close()
})

describe('realtime.send', () => {
  const replay = async (topic: string, limit = 25, since = 0): Promise<unknown[]> => {
    const result = await databaseMessageStore(pool).replay(topic, since, limit)
    if (!result.ok) throw new Error(result.reason)
    return result.messages.map(({ event, encoding, bytes }) => [
      event,
      encoding === 'json' ? Buffer.from(bytes).toString() : Buffer.from(bytes).toString('hex'),
    ])
  }

  test('keeps messages in the order of one transaction, with an id, for private topics only', async () => {
    await admin.query(`do $$ begin
      for i in 1..40 loop perform realtime.send(jsonb_build_object('n', i, 'id', 'mine'), 'e' || i, 'tx', true); end loop;
      perform realtime.send('{"public": true}', 'p', 'tx', false);
    end $$`)
    const all = (await replay('tx')) as [string, string][]
    expect(all.map(([event]) => event)).toEqual(Array.from({ length: 25 }, (_, n) => `e${n + 16}`))
    expect(await replay('tx', 2)).toEqual(all.slice(-2))
    expect(await replay('tx', 25, Date.now() + 3_600_000)).toEqual([])
    await admin.query(`select realtime.send('{"digits": 1.50, "big": 9007199254740993}', 'e', 'digits')`)
    expect((await replay('digits'))[0]).toEqual(['e', expect.stringMatching(/"big": 9007199254740993.*"digits": 1\.50/) as string])
  })

  test('sends bytes', async () => {
    await admin.query(`select realtime.send_binary('\\x00ff'::bytea, 'bin', 'bytes')`)
    expect(await replay('bytes')).toEqual([['bin', '00ff']])
  })

  test('recognizes changes of rows, and refuses what is none', async () => {
    await admin.query(`
      create table bc (id int primary key, body text);
      create function bc_trigger() returns trigger language plpgsql as $$ begin
        perform realtime.broadcast_changes('room:' || coalesce(new.id, old.id), tg_op, tg_op, tg_table_name, tg_table_schema, new, old, tg_level);
        return null;
      end $$;
      create trigger t after insert or update or delete on bc for each row execute function bc_trigger();
      insert into bc values (7, 'a'); update bc set body = 'b'; delete from bc;
    `)
    const sent = ((await replay('room:7')) as [string, string][]).map(([event, payload]) => {
      const { record, old_record, operation, table, schema } = JSON.parse(payload) as Record<string, unknown>
      return [event, operation, schema, table, old_record, record]
    })
    expect(sent).toEqual([
      ['INSERT', 'INSERT', 'public', 'bc', null, { id: 7, body: 'a' }],
      ['UPDATE', 'UPDATE', 'public', 'bc', { id: 7, body: 'a' }, { id: 7, body: 'b' }],
      ['DELETE', 'DELETE', 'public', 'bc', { id: 7, body: 'b' }, null],
    ])
    await expect(admin.query("select realtime.broadcast_changes('t', 'e', 'TRUNCATE', 'a', 'b', null::bc, null::bc)")).rejects.toThrow(
      'Failed to process the row: Unexpected operation type: TRUNCATE',
    )
  })

  test('a send without permission is a warning and not a failed transaction', async () => {
    const warnings: string[] = []
    const notice = (message: { message?: string | undefined }): void => void warnings.push(message.message ?? '')
    admin.on('notice', notice)
    await admin.query("begin; set local role anon; select realtime.send('{}', 'e', 'nope'); commit")
    admin.off('notice', notice)
    expect(warnings.join()).toMatch(/WarnSendingBroadcastMessage: .*row-level security/)
    expect(await replay('nope')).toEqual([])
  })
})

describe('migrations', () => {
  test('run twice, and at once by several, and change nothing the second time', async () => {
    const url = await postgres.createDatabase()
    const clients = Array.from({ length: 3 }, () => new pg.Client({ connectionString: url }))
    await Promise.all(clients.map((client) => client.connect()))
    const results = await Promise.all(clients.map((client) => migrate(client)))
    expect(results.map(({ applied }) => applied.length).toSorted()).toEqual([0, 0, 6])
    expect((await migrate(clients[0]!)).applied).toEqual([])
    const { rows } = await clients[0]!.query(
      "select relid::regclass::text as name from pg_partition_tree('realtime.messages') where isleaf order by 1",
    )
    expect(rows).toHaveLength(6)
    await Promise.all(clients.map((client) => client.end()))
  })

  test('of two databases of a server at once do not stumble over the roles, which are common to both', async () => {
    const one = new pg.Client({ connectionString: await postgres.createDatabase() })
    const other = new pg.Client({ connectionString: await postgres.createDatabase(), application_name: 'the other' })
    await Promise.all([one.connect(), other.connect()])
    await admin.query('alter role service_role rename to kept')
    await one.query('begin')
    await one.query('create role service_role nologin noinherit bypassrls')
    const migrated = migrate(other)
    const waits = `select from pg_stat_activity where application_name = 'the other' and wait_event_type = 'Lock'`
    await expect.poll(async () => (await admin.query(waits)).rowCount, { timeout: 10_000 }).toBe(1)
    await one.query('commit')
    expect((await migrated).applied).toHaveLength(6)
    await Promise.all([one.end(), other.end()])
  })

  test('leave alone what a Supabase database has', async () => {
    const url = await postgres.createDatabase()
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    await client.query(`
      create schema auth; create schema realtime;
      create function auth.uid() returns uuid language sql stable as 'select null::uuid';
      create table realtime.messages (topic text, extension text, payload jsonb, event text, private boolean, inserted_at timestamp default now(), id uuid);
      create function realtime.topic() returns text language sql stable as $$ select 'theirs' $$;
      create table public.kept (id int); create publication supabase_realtime for table public.kept;
    `)
    await migrate(client)
    const { rows } = await client.query(`
      select auth.uid() as uid, realtime.topic() as topic,
        (select count(*)::int from pg_publication_tables where pubname = 'supabase_realtime') as published,
        (select relkind from pg_class where oid = 'realtime.messages'::regclass) as kind`)
    expect(rows).toEqual([{ uid: null, topic: 'theirs', published: 1, kind: 'r' }])
    await client.end()
  })

  test('a new table of the embedded database is published, and open to the API roles', async () => {
    const url = await postgres.createDatabase()
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    await migrate(client)
    await makeConvenient(client)
    await makeConvenient(client)
    await client.query(`
      create table keyless (n int);
      create table todos (id serial primary key, title text);
      create table later (id int); alter table later add primary key (id);
      create schema other; create table other.hidden (id int primary key);
    `)
    const { rows } = await client.query(
      "select tablename as name from pg_publication_tables where pubname = 'supabase_realtime' order by 1",
    )
    expect(rows).toEqual([{ name: 'later' }, { name: 'todos' }])
    await client.query("set role anon; insert into todos (title) values ('x'); reset role")
    await client.end()
  })

  test('a day that is over the retention is dropped; a message for a day without partition is kept', async () => {
    await admin.query(
      `create table realtime.messages_2020_01_01 partition of realtime.messages for values from ('2020-01-01') to ('2020-01-02')`,
    )
    await admin.query(
      `insert into realtime.messages (topic, extension, event, private, payload, inserted_at) values ('far', 'broadcast', 'e', true, '1', now() + interval '30 days')`,
    )
    await migrate(admin)
    const { rows } = await admin.query(
      "select to_regclass('realtime.messages_2020_01_01') as dropped, (select count(*)::int from realtime.messages_default) as far",
    )
    expect(rows).toEqual([{ dropped: null, far: 1 }])
    await admin.query("delete from realtime.messages where topic = 'far'")
  })
})
