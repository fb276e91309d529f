/** What happens to a whole server when its Postgres is stopped. */
import { setTimeout as delay } from 'node:timers/promises'
import { startEmbeddedPostgres } from '@tidewire/postgres'
import { expect, test } from 'vitest'
import { ChangeCollector } from '../test/change-collector.ts'
import { useOwnDatabase } from '../test/own-database.ts'

const it = useOwnDatabase()
const installation = process.env['TIDEWIRE_TEST_POSTGRES']
const ENTRY = { event: 'INSERT', schema: 'public', table: 'journal' }

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

test('a fast shutdown under load ends in less than five seconds, and the feed goes on afterwards', { timeout: 90_000 }, async () => {
  const { ready } = await it.dev()
  await it.makeJournal()
  const collector = new ChangeCollector(ready.url, ready.anonKey, ENTRY)
  let writing = true
  const writers: Promise<void>[] = []
  try {
    await collector.until(() => collector.joins > 0, 30_000)
    writers.push(
      ...[1, 2].map(async () => {
        while (writing)
          await it.query(`insert into journal (body) select repeat('x', 100) from generate_series(1, 30)`).catch(() => delay(20))
      }),
    )
    await collector.until(() => collector.changes.length > 300, 30_000)
    const { pid, port, dataDir } = it.postgres
    const begun = Date.now()
    // What `pg_ctl stop -m fast` does.
    process.kill(pid, 'SIGINT')
    while (isRunning(pid) && Date.now() - begun < 20_000) await delay(10)
    expect(Date.now() - begun).toBeLessThan(5_000)
    it.postgres = await startEmbeddedPostgres({ installation, dataDir, port, settings: { fsync: 'off' } })
    // The slot went with the connection: they are notified, and join again.
    const seen = collector.changes.length
    await collector.until(() => collector.changes.length > seen, 30_000)
  } finally {
    writing = false
    await Promise.all(writers)
    collector.close()
  }
})

test('dev --db --keep-slot leaves its slot, and comes back to it', { timeout: 60_000 }, async () => {
  const first = await it.dev('--keep-slot')
  await expect.poll(it.slots, { timeout: 10_000 }).toMatchObject([{ temporary: false }, { temporary: true }])
  const made = (await it.slots()).filter(({ temporary }) => !temporary)
  expect((await first.process.stop()).code).toBe(0)
  expect(await it.slots()).toEqual(made)
  const second = await it.dev('--keep-slot')
  expect((await second.process.stop()).code).toBe(0)
  expect(await it.slots()).toEqual(made)
  expect((await it.sandbox.run(['dev', '--port', '0', '--json', '--keep-slot'])).code).toBe(2)
})
