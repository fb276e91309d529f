import { afterAll, beforeAll, expect, test } from 'vitest'
import { asRole, startFeed, type TestFeed } from '../../../test/feed.ts'
import { usePostgres } from '../../../test/postgres.ts'

const postgres = usePostgres()
let it: TestFeed

beforeAll(async () => {
  it = await startFeed(
    await postgres.createDatabase(),
    `create table notes (id serial primary key, body text);
     create table moody (id serial primary key, body text);
     create function mood() returns bool language plpgsql stable security definer as $$ begin
       if auth.jwt() ->> 'does' = 'end' then perform pg_terminate_backend(pg_backend_pid()), pg_sleep(5); end if;
       while auth.jwt() ->> 'does' = 'stay' loop
         begin perform pg_sleep(100); exception when query_canceled then null; end;
       end loop;
       if auth.jwt() ->> 'raise' is not null then raise exception using errcode = auth.jwt() ->> 'raise', message = 'raised'; end if;
       return true;
     end $$;
     alter table moody enable row level security;
     create policy mood on moody for select using (mood());
     grant all on all tables in schema public to anon, authenticated, service_role;
     alter publication supabase_realtime add table notes, moody;`,
    { identityTimeoutMs: 200 },
  )
})
afterAll(() => it.close())

const of = (table: string, more: object = {}): object => ({ event: '*', schema: 'public', table, ...more })
const user = (more = {}): ReturnType<typeof asRole> => asRole('authenticated', { sub: '11111111-1111-1111-1111-111111111111', ...more })

test.each(['08006', '57P01', '57P03', '53200', '53400', '58030', '25006', 'P0004', '57014', '40001'])(
  'a policy that raises %s for one user costs no other anything',
  { timeout: 30_000 },
  async (code) => {
    const good = it.open({ entries: [of('moody')], identity: user() })
    const bad = it.open({ entries: [of('moody')], identity: user({ raise: code }) })
    const other = it.open({ entries: [of('notes')] })
    const all = [good, bad, other]
    await Promise.all(all.map((channel) => channel.subscribed()))
    await it.sql.query(`insert into moody (body) select 'a' from generate_series(1, 100)`)
    await it.sql.query(`insert into notes (body) values ('after')`)
    await other.until(() => other.changes.length === 1, 'what comes after', 5_000)
    await good.until(() => good.changes.length === 100, 'rows of the other user', 5_000)
    await bad.until(() => bad.systems.length > 1, 'a notice', 5_000)
    expect(bad.systems[1]!.extra).toMatchObject({ live: true, code: 'policy-failed' })
    expect([good.gaps, bad.changes]).toEqual([[], []])
    for (const each of all) each.handle.close()
  },
)

test('a server that lacks resources for a policy costs its user a gap, and is no denial', { timeout: 30_000 }, async () => {
  const short = it.open({ entries: [of('moody')], identity: user({ raise: '53100' }) })
  await short.subscribed()
  await it.sql.query(`insert into moody (body) values ('a')`)
  await short.until(() => short.gaps.length > 0, 'the gap')
  expect([short.changes, short.gaps[0]]).toEqual([[], 'withheld'])
  short.handle.close()
})

test.each(['end', 'stay'])(
  'a policy that lets its session %s costs its own user a gap, and no other',
  { timeout: 60_000 },
  async (does) => {
    const good = it.open({ entries: [of('moody')], identity: user() })
    const bad = it.open({ entries: [of('moody')], identity: user({ does }) })
    const other = it.open({ entries: [of('notes')] })
    const all = [good, bad, other]
    await Promise.all(all.map((channel) => channel.subscribed()))
    await it.sql.query(`insert into moody (body) values ('a')`)
    await it.sql.query(`insert into notes (body) values ('after')`)
    await Promise.all([good, other].map((channel) => channel.until(() => channel.changes.length === 1, 'the change', 15_000)))
    await bad.until(() => bad.gaps.length > 0, 'the gap', 20_000)
    expect([good.gaps, bad.changes, it.feed.changeFeed.progress!().trouble]).toEqual([[], [], null])
    // The ordered path does not ask this policy again: that would take five seconds.
    await it.sql.query(`insert into moody (body) values ('b')`)
    await good.until(() => good.changes.length === 2, 'the next change', 4_000)
    for (const each of all) each.handle.close()
    const busy = `select from pg_stat_activity where datname = current_database() and application_name = 'tidewire check' and state = 'active'`
    await expect.poll(async () => (await it.sql.query(busy)).rowCount, { timeout: 15_000 }).toBe(0)
  },
)
