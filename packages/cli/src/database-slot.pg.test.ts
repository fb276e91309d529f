/** What is left in a Postgres when its server ends or is killed. */
import { expect, test } from 'vitest'
import { ChangeCollector } from '../test/change-collector.ts'
import { useOwnDatabase } from '../test/own-database.ts'

const it = useOwnDatabase()
const ENTRY = { event: 'INSERT', schema: 'public', table: 'journal' }

test('dev --db that is killed leaves no slot behind, and the next one works', { timeout: 60_000 }, async () => {
  const first = await it.dev()
  await expect.poll(it.slots, { timeout: 10_000 }).toMatchObject([{ temporary: true }])
  await it.makeJournal()
  await first.process.kill()
  await expect.poll(it.slots, { timeout: 10_000 }).toEqual([])
  const { ready, process } = await it.dev()
  const collector = new ChangeCollector(ready.url, ready.anonKey, ENTRY)
  try {
    await collector.until(() => collector.joins > 0, 30_000)
    await it.query(`insert into journal (body) values ('again')`)
    await collector.until(() => collector.changes.length > 0, 30_000)
    expect(collector.changes[0]!.record['body']).toBe('again')
  } finally {
    collector.close()
  }
  expect((await process.stop()).code).toBe(0)
  await expect.poll(it.slots, { timeout: 10_000 }).toEqual([])
})
