import type { Queryable } from '../../catalog/queryable.ts'

/** Runs `work` in a transaction that these statements begin, and that is rolled back. */
export async function rolledBack<T>(session: Queryable, begin: string, work: () => Promise<T>): Promise<T> {
  try {
    await session.query(begin)
    return await work()
  } finally {
    await session.query('rollback')
  }
}

/** Begins a transaction that sees one state of the database all along. */
export const ONE_SNAPSHOT = 'begin isolation level repeatable read read only'
