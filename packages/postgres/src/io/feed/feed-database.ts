import type pg from 'pg'
import type { FeedDatabase } from '../../decide/feed-database.ts'
import { Gathering } from '../../decide/gathering.ts'
import type { PublishedTable, RoleFacts, TableEntry } from '../../catalog/table-entry.ts'
import { parseLsn, type Lsn } from '../../replication/lsn.ts'
import { loadPublishedTables, loadRoles, loadTableEntries, loadUnpublishedTable } from '../catalog/feed-catalog.ts'
import type { FeedSessions } from '../sessions/feed-sessions.ts'
import { castFilters, type CastAnswer, type FilterCast } from '../checks/filter-cast.ts'
import { testFilters } from '../checks/filter-values.ts'
import { computedColumns } from '../checks/generated-columns.ts'
import { generatedColumns, jsonOf } from '../checks/missing-values.ts'
import { checkOldRows } from '../checks/image-checker.ts'
import { checkRows } from '../checks/row-checker.ts'
import { checkVersions } from '../checks/version-checker.ts'

export interface FeedDatabaseOptions {
  readonly publication: string
  /** How long the policies may take for one identity. */
  readonly identityTimeoutMs: number
}

/** Asks Postgres. `sessions` gives the sessions, once there is a database. */
export function feedDatabase(sessions: () => Promise<FeedSessions>, options: FeedDatabaseOptions): FeedDatabase {
  const onChecker = async <T>(work: (session: pg.PoolClient) => Promise<T>): Promise<T> => (await sessions()).checker.withSession(work)
  const onCatalog = async <T>(work: (session: pg.PoolClient) => Promise<T>): Promise<T> => (await sessions()).catalog.withSession(work)
  // A crowd that subscribes at once asks for the same, and for little that differs.
  const published = new Gathering<null, readonly PublishedTable[]>(async (asked) => {
    const tables = await onCatalog((session) => loadPublishedTables(session, options.publication))
    return asked.map(() => tables)
  })
  // The login that will take the role has to say whether it may.
  const roles = new Gathering<string, RoleFacts>((names) => onChecker((session) => loadRoles(session, names)))
  const tables = new Gathering<TablesQuestion, ReadonlyMap<number, TableEntry>>(async (asked) => {
    const oids = new Set(asked.flatMap((question) => question.oids))
    const names = new Set(asked.flatMap((question) => question.roles))
    const entries = await onCatalog((session) => inOneSnapshot(session, () => loadTableEntries(session, [...oids], [...names])))
    return asked.map(() => entries)
  })
  const casts = new Gathering<FilterCast, CastAnswer>((asked) => onChecker((session) => castFilters(session, asked)), { atOnce: 2 })
  const lsns = new Gathering<null, Lsn>(async (asked) => {
    const lsn = await onCatalog(insertLsn)
    return asked.map(() => lsn)
  })
  return {
    publishedTables: () => published.ask(null),
    unpublishedTable: async ({ schema, table }, role) => ({
      publication: options.publication,
      table: await onCatalog((session) => loadUnpublishedTable(session, schema, table, role)),
    }),
    role: (name) => roles.ask(name),
    tables: (oids, names) => tables.ask({ oids, roles: names }),
    castFilter: (filter, column) => casts.ask({ filter, column }),
    testFilters: (check) => onChecker((session) => testFilters(session, check)),
    checkRows: async (check) => checkRows((await sessions()).checker, check, options.identityTimeoutMs),
    checkOldRows: (check) => onChecker((session) => checkOldRows(session, check, options.identityTimeoutMs)),
    checkVersions: (check) => onChecker((session) => checkVersions(session, check)),
    jsonOf: (question) => onChecker((session) => jsonOf(session, question, options.identityTimeoutMs)),
    computed: (question) => onChecker((session) => computedColumns(session, question, options.identityTimeoutMs)),
    generated: (entry, columns, rows) => onCatalog((session) => generatedColumns(session, entry, columns, rows)),
    insertLsn: () => lsns.ask(null),
  }
}

interface TablesQuestion {
  readonly oids: readonly number[]
  readonly roles: readonly string[]
}

async function insertLsn(session: pg.PoolClient): Promise<Lsn> {
  const { rows } = await session.query<{ lsn: string }>('select pg_catalog.pg_current_wal_insert_lsn()::text as lsn')
  return parseLsn(rows[0]!.lsn) ?? 0n
}

async function inOneSnapshot<T>(session: pg.PoolClient, work: () => Promise<T>): Promise<T> {
  await session.query('begin isolation level repeatable read read only')
  try {
    return await work()
  } finally {
    await session.query('rollback')
  }
}
