import pg from 'pg'
import type { FeedDatabase } from '../feed/feed-database.ts'
import type { TableEntry } from '../feed/table-entry.ts'
import { parseLsn } from '../lsn.ts'
import { tableSql } from './check-function.ts'
import { loadPublishedTables, loadRole, loadTableEntries } from './feed-catalog.ts'
import type { FeedSessions } from './feed-sessions.ts'
import { castFilter, testFilters } from './filter-values.ts'
import { checkOldRows } from './old-row-checker.ts'
import { checkRows } from './row-checker.ts'

export interface FeedDatabaseOptions {
  readonly publication: string
  /** How long the policies may take for one identity. */
  readonly identityTimeoutMs: number
}

/** Asks Postgres. `sessions` gives the sessions, once there is a database. */
export function feedDatabase(sessions: () => Promise<FeedSessions>, options: FeedDatabaseOptions): FeedDatabase {
  const onChecker = async <T>(work: (session: pg.PoolClient) => Promise<T>): Promise<T> => (await sessions()).checker.withSession(work)
  const onCatalog = async <T>(work: (session: pg.PoolClient) => Promise<T>): Promise<T> => (await sessions()).catalog.withSession(work)
  return {
    publishedTables: () => onCatalog((session) => loadPublishedTables(session, options.publication)),
    // The login that will take the role has to say whether it may.
    role: (name) => onChecker((session) => loadRole(session, name)),
    tables: (oids, roles) => onCatalog((session) => inOneSnapshot(session, () => loadTableEntries(session, oids, roles))),
    castFilter: (filter, column) => onChecker((session) => castFilter(session, filter, column)),
    testFilters: (check) => onChecker((session) => testFilters(session, check)),
    checkRows: (check) => onChecker((session) => checkRows(session, check, options.identityTimeoutMs)),
    checkOldRows: (check) => onChecker((session) => checkOldRows(session, check, options.identityTimeoutMs)),
    jsonOf: (typeSql, texts) =>
      onChecker(async (session) => {
        const { rows } = await session.query<{ json: string | null }>(
          `select pg_catalog.to_jsonb(v.text::${typeSql})::text as json from pg_catalog.unnest($1::text[]) with ordinality v (text, n) order by n`,
          [texts],
        )
        return rows.map(({ json }) => json)
      }),
    generated: (entry, columns, keys) => onCatalog((session) => generated(session, entry, columns, keys)),
    insertLsn: () =>
      onCatalog(async (session) => {
        const { rows } = await session.query<{ lsn: string }>('select pg_catalog.pg_current_wal_insert_lsn()::text as lsn')
        return parseLsn(rows[0]!.lsn) ?? 0n
      }),
  }
}

async function inOneSnapshot<T>(session: pg.PoolClient, work: () => Promise<T>): Promise<T> {
  await session.query('begin isolation level repeatable read read only')
  try {
    return await work()
  } finally {
    await session.query('rollback')
  }
}

async function generated(
  session: pg.PoolClient,
  entry: TableEntry,
  columns: readonly string[],
  keys: readonly (readonly string[])[],
): Promise<Map<number, Map<string, string>>> {
  const found = new Map<number, Map<string, string>>()
  const names = entry.primaryKey.map((_, index) => `c${index}`)
  const on = entry.primaryKey.map(({ name, typeSql }, index) => `t.${pg.escapeIdentifier(name)} = k.c${index}::${typeSql}`)
  const values = columns.map((name, index) => `pg_catalog.to_jsonb(t.${pg.escapeIdentifier(name)})::text as v${index}`)
  const { rows } = await session.query<Record<string, string | null> & { n: number }>(
    `select k.n::int4 as n, ${values.join(', ')}
     from rows from (${names.map((_, index) => `pg_catalog.unnest($${index + 1}::text[])`).join(', ')}) with ordinality k (${[...names, 'n'].join(', ')})
     join ${tableSql(entry)} t on ${on.join(' and ')}`,
    names.map((_, index) => keys.map((key) => key[index]!)),
  )
  for (const row of rows) found.set(row.n - 1, new Map(columns.map((name, index) => [name, row[`v${index}`] ?? 'null'])))
  return found
}
