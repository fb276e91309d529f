import { expect, test } from 'vitest'
import { usePostgres } from '../../../test/postgres.ts'
import { databasePool } from './session-pool.ts'

const postgres = usePostgres()

test('a session that breaks between two questions costs its work, and not the process', async () => {
  const pool = databasePool({ url: postgres.server.url, maxConnections: 1, connectTimeoutMs: 10_000 })
  const work = pool.withSession(async (session) => {
    const gone = new Promise<void>((resolve) => session.once('end', resolve))
    const { rows } = await session.query<{ pid: number }>('select pg_backend_pid() as pid')
    await postgres.admin.query('select pg_terminate_backend($1)', [rows[0]!.pid])
    await gone
    await session.query('select 1')
  })
  await expect(work).rejects.toThrow(/terminat|not queryable|Connection/i)
  expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
  await pool.close()
})
