import type pg from 'pg'
import { embeddedConveniences, keepPartitions, migrations } from '../migrations/migrations.ts'

/** Serializes migrations of servers that start at the same time. */
const LOCK = 7_236_514_092

/** The names of the steps that were taken now, and the number of the newest. */
export interface MigrationResult {
  readonly applied: readonly string[]
  readonly version: number
}

/**
 * Brings a database up to date, each step in a transaction of its own, and makes the partitions of the coming days. Takes
 * a session of its own, since it holds a lock. Rejects with what Postgres says; steps before that one stay done.
 */
export async function migrate(session: pg.ClientBase): Promise<MigrationResult> {
  await session.query('select pg_advisory_lock($1)', [LOCK])
  try {
    await session.query(
      'create schema if not exists tidewire; create table if not exists tidewire.migrations (version int primary key, name text not null, applied_at timestamptz not null default now())',
    )
    const { rows } = await session.query<{ version: number }>('select version from tidewire.migrations')
    const done = new Set(rows.map(({ version }) => version))
    const applied: string[] = []
    for (const { version, name, sql } of migrations) {
      if (done.has(version)) continue
      await inTransaction(session, async () => {
        await session.query(sql)
        await session.query('insert into tidewire.migrations (version, name) values ($1, $2)', [version, name])
      })
      applied.push(name)
    }
    await session.query(keepPartitions)
    return { applied, version: migrations.at(-1)!.version }
  } finally {
    await session.query('select pg_advisory_unlock($1)', [LOCK]).catch(() => {})
  }
}

async function inTransaction(session: pg.ClientBase, work: () => Promise<void>): Promise<void> {
  await session.query('begin')
  try {
    await work()
    await session.query('commit')
  } catch (error) {
    await session.query('rollback').catch(() => {})
    throw error
  }
}

/** Makes the embedded database, and only that, publish and open new tables by itself. */
export async function makeConvenient(session: pg.ClientBase): Promise<void> {
  await inTransaction(session, async () => void (await session.query(embeddedConveniences)))
}
