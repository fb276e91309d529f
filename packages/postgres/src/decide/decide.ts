import { errorText, isTimeout } from '../catalog/database-fault.ts'
import type { CatalogTable } from '../catalog/catalog-table.ts'
import { getOrMake } from '../catalog/multimap.ts'
import { filterText, withRow } from '../replication/change-row.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { isAuthorizedDelete, type PendingDelivery } from '../subscribe/audience.ts'
import { StalePolicyVersion } from './ask-again.ts'
import type { Content, DecideOptions, Decision, DecisionFault, FilterQuestion, Granted } from './decision.ts'
import type { Grant, VersionCheck } from './feed-database.ts'
import { inHalves } from './in-halves.ts'
import { narrowed } from './narrowed.ts'
import { failedFilters, undecided } from './pass-filters.ts'
import { questionsOf, rowQuestions, updatedOf, xidsOf, type Asked, type RowQuestion } from './row-questions.ts'

const WHOLE: Granted = { record: 'image', old: 'image' }
const OLD_KEY: Granted = { record: 'image', old: 'key' }
const KEYS: Granted = { record: 'key', old: 'key' }

interface Deciding extends DecideOptions {
  readonly faults: DecisionFault[]
  readonly slow: PendingDelivery[]
  readonly granted: Map<RowChange, Map<PendingDelivery, Granted>>
  /** Rows that were written again since the change, and are granted as they are now. */
  readonly rewritten: { readonly delivery: PendingDelivery; readonly row: RowChange; readonly now: RowChange }[]
}

/**
 * Has Postgres decide which rows the audiences get. Sends nothing. Rejects with {@link StalePolicyVersion}, with
 * {@link NotYetVisible}, or when the database cannot be reached; all other faults are in the answer.
 */
export async function decide(pending: readonly PendingDelivery[], options: DecideOptions): Promise<Decision> {
  const deciding: Deciding = { ...options, faults: [], slow: [], granted: new Map(), rewritten: [] }
  const { database, faults, slow, granted } = deciding
  const filtered = await failedFilters(undecided(pending), database, faults)
  const passed = withoutFailed(pending, filtered.keys())
  const { free, fresh, deleted } = questionsOf(passed)
  for (const { delivery, rows } of free) for (const row of rows) grant(deciding, delivery, row, uncheckedGrant(delivery, row))
  await Promise.all([
    checkVersions(free, deciding),
    ...rowQuestions(fresh).map((question) => askRows(question, deciding)),
    ...rowQuestions(deleted).map((question) => askOldRows(question, deciding)),
  ])
  // The old row of an UPDATE is delivered whole only where the policies show its content. Else its key is, as is granted already: so
  // faults are dropped.
  const updated = updatedOf(fresh, (delivery, row) => granted.get(row)?.get(delivery)?.record === 'image')
  if (updated.length > 0) await Promise.all(rowQuestions(updated).map((question) => askOldRows(question, { ...deciding, faults: [] })))
  if (deciding.rewritten.length > 0) await dropUnmatched(deciding)
  return { decided: granted, filtered, faults, slow }
}

function grant({ granted }: Deciding, delivery: PendingDelivery, row: RowChange, what: Granted): void {
  getOrMake(granted, row, () => new Map<PendingDelivery, Granted>()).set(delivery, what)
}

function withoutFailed(pending: readonly PendingDelivery[], failed: Iterable<FilterQuestion>): readonly PendingDelivery[] {
  const dropped = new Map<PendingDelivery, Set<RowChange>>()
  for (const { delivery, row } of failed) getOrMake(dropped, delivery, () => new Set<RowChange>()).add(row)
  if (dropped.size === 0) return pending
  return pending.map((delivery) => {
    const rows = dropped.get(delivery)
    return rows === undefined ? delivery : { ...delivery, rows: delivery.rows.filter((row) => !rows.has(row)) }
  })
}

/** Without a question: no policies apply, or the row is gone and its key is all that is delivered (rule D6). */
function uncheckedGrant({ audience }: PendingDelivery, row: RowChange): Granted {
  if (row.action !== 'DELETE') return WHOLE
  return isAuthorizedDelete(audience, row) || (audience.identity === null && !row.table.rowSecurity) ? WHOLE : OLD_KEY
}

/** Privileges may have been revoked since the tables were loaded. */
async function checkVersions(free: readonly Asked[], { database, waits, mayBeStale, faults, granted }: Deciding): Promise<void> {
  if (free.length === 0) return
  const roles = new Map<CatalogTable, Set<string>>()
  const lists = new Set<readonly RowChange[]>()
  for (const { delivery, rows } of free) {
    const { table, role, fault } = delivery.audience
    // Nothing but an error is delivered.
    if (fault === 'unauthorized') continue
    getOrMake(roles, table, () => new Set<string>()).add(role)
    lists.add(rows)
  }
  const xids = xidsOf([...lists].flat())
  const pairs = [...roles].flatMap(([table, names]) => [...names].map((role) => ({ table, role })))
  const check = async (part: VersionCheck['pairs']): Promise<void> => {
    const current = await database.checkVersions({ pairs: part, xids, waits })
    const stale = part.find((_, index) => current[index] !== true)
    if (stale !== undefined) throw new StalePolicyVersion(stale.table.oid)
  }
  await inHalves(pairs, check, ({ table, role }, error) => {
    if (mayBeStale(table.oid)) throw new StalePolicyVersion(table.oid)
    const withheld = free.filter(({ delivery: { audience } }) => audience.table === table && audience.role === role)
    for (const { delivery, rows } of withheld) for (const row of rows) granted.get(row)?.delete(delivery)
    const deliveries = withheld.map(({ delivery }) => delivery)
    faults.push({ kind: 'row', message: errorText(error), timedOut: isTimeout(error), deliveries })
  })
}

async function askRows(question: RowQuestion, deciding: Deciding): Promise<void> {
  const { database, waits, faults, slow } = deciding
  await narrowed(question, deciding, async (part) => {
    const { check } = part
    const answer = await database.checkRows({ ...check, waits })
    if (!answer.current) throw new StalePolicyVersion(part.table.oid)
    if (answer.slow === true) slow.push(...part.deliveries)
    const current: CurrentRows = new Map()
    part.answered(answer, faults, (delivery, row, found) => {
      const record = contentOf(row, found, check.columns, current)
      grant(deciding, delivery, row, record === 'image' ? OLD_KEY : record === 'key' ? KEYS : { record, old: 'key' })
      if (typeof record !== 'string' && delivery.audience.filters.length > 0) deciding.rewritten.push({ delivery, row, now: record })
    })
  })
}

/**
 * Rows as a check read them. By grant: most identities share one, so large rows are not compared again. By their texts: identities
 * that were shown the same share one row, and so its bytes.
 */
type CurrentRows = Map<RowChange, Map<object | string, RowChange>>

function contentOf(row: RowChange, found: Grant, columns: readonly number[], known: CurrentRows): Content {
  if (typeof found === 'string') return found
  const ofRow = getOrMake(known, row, () => new Map<object | string, RowChange>())
  return getOrMake(ofRow, found, () => {
    const text = JSON.stringify(found.current.map((value) => value ?? (value === null ? 0 : 1)))
    return getOrMake(ofRow, text, () => withRow(row, columns, found.current))
  })
}

/** Asks which old rows are delivered, and whether whole or by their keys. */
async function askOldRows(question: RowQuestion, deciding: Deciding): Promise<void> {
  const { database, waits, faults } = deciding
  await narrowed(question, deciding, async (part) => {
    const { table, role, xids, identities, oldTexts } = part
    const answer = await database.checkOldRows({ table, role, xids, waits, rows: oldTexts, identities })
    if (!answer.current) throw new StalePolicyVersion(table.oid)
    part.answered(answer, faults, (delivery, row, found) => grant(deciding, delivery, row, found === 'image' ? WHOLE : OLD_KEY))
  })
}

/** A row that was written again is delivered by its key alone where its present version does not pass the filters. */
async function dropUnmatched({ rewritten, granted, database, faults }: Deciding): Promise<void> {
  const questions = rewritten.map(({ delivery, row, now }) => ({ delivery, row, text: filterText(now, { rowSecurity: true }) }))
  for (const { delivery, row } of (await failedFilters(questions, database, faults)).keys()) granted.get(row)!.set(delivery, KEYS)
}
