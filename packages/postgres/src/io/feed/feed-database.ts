import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import type { FeedDatabase, RowChecks } from '../../decide/feed-database.ts'
import { NotYetVisible } from '../../decide/ask-again.ts'
import type { CatalogPort } from '../../catalog/catalog-port.ts'
import { codeOf, isUnreachable, OutOfTime, READ_TIMEOUT } from '../../catalog/database-fault.ts'
import { Batcher } from '../../catalog/batcher.ts'
import type { CatalogRole, CatalogTable } from '../../catalog/catalog-table.ts'
import { parseLsn, type Lsn } from '../../replication/lsn.ts'
import { loadPublishedTables, loadRoles, loadCatalogTables, loadUnpublishedTable } from '../catalog/feed-catalog.ts'
import { ORDERED_TIMEOUT_MS, type SessionsWhenOpen } from '../sessions/feed-sessions.ts'
import { ONE_SNAPSHOT, rolledBack } from '../sessions/rolled-back.ts'
import type { SessionPool } from '../sessions/session-pool.ts'
import { castFilters, type CastAnswer, type FilterCast } from '../checks/filter-cast.ts'
import { testFilters } from '../checks/filter-values.ts'
import { computedColumns } from '../checks/generated-columns.ts'
import { generatedColumns, jsonOf } from '../checks/missing-values.ts'
import { checkOldRows } from '../checks/image-checker.ts'
import type { CheckOptions } from '../checks/identity-answers.ts'
import { checkRows } from '../checks/row-checker.ts'
import { checkVersions } from '../checks/version-checker.ts'

/** Asks Postgres, once there is a database. `identityTimeoutMs`: how long the policies may take for one identity. */
export function feedDatabase(sessions: SessionsWhenOpen, publication: string, identityTimeoutMs: number): FeedDatabase {
  const [onCatalog, onChecker, onIsolated] = [on(sessions, 'catalog'), on(sessions, 'checker'), on(sessions, 'isolated')]
  // Simultaneous subscribers ask near-identical questions, so they are asked together. Of a role, the login that will take it
  // has to say whether it may.
  const roles = new Batcher<string, CatalogRole>((names) => onChecker((session) => loadRoles(session, names)))
  const tables = new Batcher<TablesQuestion, ReadonlyMap<number, CatalogTable>>(async (asked) => {
    const oids = new Set(asked.flatMap((question) => question.oids))
    const names = new Set(asked.flatMap((question) => question.roles))
    const loaded = await onCatalog((session) => rolledBack(session, ONE_SNAPSHOT, () => loadCatalogTables(session, [...oids], [...names])))
    return asked.map(() => loaded)
  })
  const casts = new Batcher<FilterCast, CastAnswer>((asked) => onChecker((session) => castFilters(session, asked)), { atOnce: 2 })
  // Compiling a pattern may take long: few are asked together, so that an answer comes before its asker gives up and asks again.
  const patterns = new Batcher<FilterCast, CastAnswer>((asked) => onIsolated((session) => castFilters(session, asked)), { atMost: 10 })
  const timeoutMs = Math.min(ORDERED_TIMEOUT_MS, identityTimeoutMs)
  const ordered = rowChecks(sessions, 'checker', { timeoutMs, isolates: false, leavesNothing: false })
  const isolated = rowChecks(sessions, 'isolated', { timeoutMs: identityTimeoutMs, isolates: true, leavesNothing: false })
  const catalog: CatalogPort = {
    publishedTables: shared(() => onCatalog((session) => loadPublishedTables(session, publication))),
    unpublishedTable: async ({ schema, table }, role) => ({
      publication,
      table: await onCatalog((session) => loadUnpublishedTable(session, schema, table, role)),
    }),
    role: (name) => roles.ask(name),
    tables: (oids, names) => tables.ask({ oids, roles: names }),
    castFilter: (filter, column) => (filter.op === 'match' || filter.op === 'imatch' ? patterns : casts).ask({ filter, column }),
    insertLsn: shared(() => onCatalog(lsnOf('insert'))),
    flushLsn: shared(() => onCatalog(lsnOf('flush'))),
  }
  // Filters do not keep the sessions of the ordered path.
  const filters = rowChecks(sessions, 'isolated', { timeoutMs, isolates: false, leavesNothing: false })
  return { catalog, checks: { ...ordered, testFilters: (check) => filters.testFilters(check) }, isolated }
}

/** How long all statements of one question may take, and the wait for a session: {@link bounded} waits longer for an answer. */
const QUESTION_TIMEOUT_MS = 6_000

/** Sessions that were idle may all have been ended from outside. A question that ends so many is at fault itself. */
const MAX_ATTEMPTS = 5

/** Whether the database answers another question. */
async function answers(catalog: SessionPool): Promise<boolean> {
  const answer = catalog.query('select').then(
    () => true,
    () => false,
  )
  return Promise.race([answer, delay(PROBE_TIMEOUT_MS, false, { ref: false })])
}

const PROBE_TIMEOUT_MS = 2_000

export function rowChecks(
  sessions: SessionsWhenOpen,
  pool: 'checker' | 'isolated',
  { timeoutMs, isolates, leavesNothing }: Omit<CheckOptions, 'until'>,
): RowChecks {
  const ask = async <T>(question: (pool: SessionPool, options: CheckOptions) => Promise<T>): Promise<T> => {
    const until = performance.now() + QUESTION_TIMEOUT_MS
    for (let attempt = 1; ; attempt++) {
      try {
        return await question((await sessions())[pool], { timeoutMs, isolates, leavesNothing, until })
      } catch (error) {
        // Other questions kept all sessions busy.
        if (codeOf(error) === 'pool-timeout') throw new OutOfTime()
        const isSilent = error instanceof Error && error.message === READ_TIMEOUT
        const isLost = isSilent || (isUnreachable(error) && !(error instanceof NotYetVisible))
        if (!isLost || !(await answers((await sessions()).catalog))) throw error
        // The database answers, but not to this question: a policy swallows its cancellation, or ends its session.
        if (isSilent || attempt === MAX_ATTEMPTS || performance.now() > until) throw new OutOfTime()
      }
    }
  }
  const onSession = <T>(question: (session: pg.PoolClient, options: CheckOptions) => Promise<T>): Promise<T> =>
    ask((of, options) => of.withSession((session) => question(session, options)))
  return {
    testFilters: (check) => onSession((session, options) => testFilters(session, check, options)),
    checkRows: (check) => ask((of, options) => checkRows(of, check, options)),
    checkOldRows: (check) => onSession((session, options) => checkOldRows(session, check, options)),
    checkVersions: (check) => onSession((session) => checkVersions(session, check)),
    jsonOf: (question) => onSession((session, options) => jsonOf(session, question, options)),
    computed: (question) => onSession((session, options) => computedColumns(session, question, options)),
    generated: (table, columns, rows) => on(sessions, 'catalog')((session) => generatedColumns(session, table, columns, rows)),
  }
}

function on(sessions: SessionsWhenOpen, pool: 'catalog' | 'checker' | 'isolated'): SessionPool['withSession'] {
  return async (work) => (await sessions())[pool].withSession(work)
}

/** A question without parameters: calls that come together share one answer. */
function shared<T>(ask: () => Promise<T>): () => Promise<T> {
  const batcher = new Batcher<null, T>(async (asked) => {
    const answer = await ask()
    return asked.map(() => answer)
  })
  return () => batcher.ask(null)
}

interface TablesQuestion {
  readonly oids: readonly number[]
  readonly roles: readonly string[]
}

function lsnOf(which: 'insert' | 'flush'): (session: pg.PoolClient) => Promise<Lsn> {
  return async (session) => {
    const { rows } = await session.query<{ lsn: string }>(`select pg_catalog.pg_current_wal_${which}_lsn()::text as lsn`)
    return parseLsn(rows[0]!.lsn) ?? 0n
  }
}
