import { expect, onTestFinished, test } from 'vitest'
import { startFeed } from '../../../test/feed.ts'
import { usePostgres } from '../../../test/postgres.ts'

const postgres = usePostgres()

test('rows that cannot be computed while their table is locked keep others back for one time-out, and not for one each', async () => {
  const unpublished = postgres.version >= 18 ? 'alter publication supabase_realtime set (publish_generated_columns = none);' : ''
  const it = await startFeed(
    await postgres.createDatabase(),
    `${unpublished} create table notes (id serial primary key);
     create table made (id int primary key, n int, twice int generated always as (n * 2) stored);
     insert into made select i, i from generate_series(1, 60) i;
     grant all on all tables in schema public to anon; alter publication supabase_realtime add table notes, made`,
  )
  onTestFinished(() => it.close())
  const [notes, made] = ['notes', 'made'].map((table) => it.open({ entries: [{ event: '*', schema: 'public', table }] }))
  await Promise.all([notes!.subscribed(), made!.subscribed()])
  it.feed.source.pause()
  await it.sql.query('update made set n = n + 1')
  const locker = await postgres.connect(it.url)
  onTestFinished(() => locker.end())
  await locker.query('begin; lock table made in access exclusive mode')
  it.feed.source.resume()
  await it.sql.query('insert into notes default values')
  await notes!.until(() => notes!.changes.length === 1, 'the change', 5_000)
  await made!.until(() => made!.gaps.length > 0, 'the gap')
  expect([made!.changes, made!.gaps[0]]).toEqual([[], 'withheld'])
})
