import { afterAll, beforeAll, expect, test } from 'vitest'
import { asRole, startFeed, type TestFeed } from '../../test/feed.ts'
import { usePostgres } from '../../test/postgres.ts'

const postgres = usePostgres()
let it: TestFeed

/** Of such a function it is known which claim it reads, and users who differ in others are asked about as one. */
const mayBy = (claim: string): string =>
  `create or replace function may() returns text language sql stable as $$ select current_setting('request.jwt.claims', true)::jsonb ->> '${claim}' $$`

beforeAll(async () => {
  it = await startFeed(
    await postgres.createDatabase(),
    `${mayBy('first')};
     create table guarded (id serial primary key);
     alter table guarded enable row level security;
     create policy may on guarded for select using (may() = 'yes');
     grant select on guarded to authenticated;
     alter publication supabase_realtime add table guarded`,
  )
})
afterAll(() => it.close())

test('users who were alike for the policies are told apart as soon as a function reads another claim', async () => {
  const entries = [{ event: 'INSERT', schema: 'public', table: 'guarded' }]
  const open = (second: string): ReturnType<TestFeed['open']> =>
    it.open({ entries, identity: asRole('authenticated', { first: 'yes', second }) })
  const [one, other] = [open('yes'), open('no')]
  await Promise.all([one.subscribed(), other.subscribed()])
  await it.sql.query('insert into guarded default values')
  await Promise.all([one.received(1), other.received(1)])
  // The stream does not tell of functions: the check itself has to notice.
  await it.sql.query(mayBy('second'))
  await it.sql.query('insert into guarded default values')
  await one.received(2)
  await it.sql.query(mayBy('first'))
  await it.sql.query('insert into guarded default values')
  await Promise.all([one.received(3), other.received(2)])
  expect(other.changes.map(({ data }) => data.record?.['id'])).toEqual([1, 3])
  for (const channel of [one, other]) channel.handle.close()
})
