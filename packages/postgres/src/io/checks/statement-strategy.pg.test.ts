/** Where no functions may be made, rows are looked at by prepared statements, one identity after the other. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { asRole, startFeed, type TestFeed } from '../../../test/feed.ts'
import { usePostgres } from '../../../test/postgres.ts'

const postgres = usePostgres()
let it: TestFeed

beforeAll(async () => {
  it = await startFeed(
    await postgres.createDatabase(),
    `create sequence slowly; create table risky (id int primary key, n int); alter table risky enable row level security;
     create policy risky on risky for select to authenticated
       using (10 / n > 0 and case when auth.jwt() ->> 'slow' = 'yes' then nextval('slowly') > 0 and pg_sleep(1.5) is not null else true end);
     create table trouble (); create sequence tries;
     create function lacks_memory() returns bool language plpgsql as $$ begin
       if exists (select from public.trouble) and nextval('public.tries') > 0 then raise exception 'no memory' using errcode = '53200'; end if;
       return false;
     end $$;
     create table tried (id int primary key); alter table tried enable row level security;
     create policy tried on tried for select to authenticated using (not lacks_memory());
     grant select on risky, tried, trouble to authenticated; grant all on tries, slowly to authenticated;
     alter publication supabase_realtime add table risky, tried;
     do $$ begin execute format('revoke temporary, create on database %I from public', current_database()); end $$`,
    { identityTimeoutMs: 500 },
  )
})
afterAll(() => it.close())

const entries = [{ event: 'INSERT', schema: 'public', table: 'risky' }]

test('a policy that fails for one row withholds that row alone, and says so', async () => {
  const channel = it.open({ entries, identity: asRole('authenticated') })
  await channel.subscribed()
  await it.sql.query('insert into risky values (1, 1), (2, 0), (3, 5)')
  await channel.received(2)
  expect(channel.changes.map(({ data }) => data.record?.['id'])).toEqual([1, 3])
  await channel.until(() => channel.systems.length > 1)
  expect(channel.systems[1]).toMatchObject({
    status: 'error',
    message: 'Changes of public.risky are withheld: its policies failed for you',
  })
  // No session is left in a transaction, and so in another role.
  const left = `select from pg_stat_activity where datname = current_database() and application_name = 'tidewire check' and state like 'idle in%'`
  await expect.poll(async () => (await it.sql.query(left)).rowCount).toBe(0)
  channel.handle.close()
})

test('a user whose policies take too long is notified, and no other waits for it', async () => {
  const slow = it.open({ entries, identity: asRole('authenticated', { slow: 'yes' }) })
  const quick = it.open({ entries, identity: asRole('authenticated', { slow: 'no' }) })
  await Promise.all([slow.subscribed(), quick.subscribed()])
  await it.sql.query('insert into risky values (10, 1), (11, 1), (12, 1)')
  await quick.received(3)
  await slow.until(() => slow.systems.length > 1)
  expect(slow.systems[1]!.message).toBe('Changes of public.risky are withheld: its policies took too long for you')
  expect(slow.changes).toEqual([])
  // Once with all others and once alone, and not row by row.
  expect((await it.sql.query('select last_value as asked from slowly')).rows).toEqual([{ asked: '2' }])
  for (const each of [slow, quick]) each.handle.close()
})

test('a server that lacks what it needs costs a gap, and is asked again', async () => {
  const channel = it.open({ entries: [{ event: 'INSERT', schema: 'public', table: 'tried' }], identity: asRole('authenticated') })
  await channel.subscribed()
  await it.sql.query('insert into trouble default values')
  await it.sql.query('insert into tried values (1)')
  // At once, and when the pause ends in which nothing is asked.
  await channel.until(() => channel.gaps.length === 2, 'the gap')
  await it.sql.query('delete from trouble')
  await it.sql.query('insert into tried values (2)')
  await channel.received(1)
  expect(channel.ids).toEqual([2])
  channel.handle.close()
})
