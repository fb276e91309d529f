import { errorText, isTimeout } from '../catalog/database-fault.ts'
import { append, getOrMake } from '../catalog/multimap.ts'
import { filterText, publishedColumns } from '../replication/change-row.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { isAuthorizedDelete, type PendingDelivery } from '../subscribe/audience.ts'
import { StalePolicyVersion } from './ask-again.ts'
import { CurrentRows } from './content.ts'
import type { DecideOptions, Decision, DecisionFault, Granted } from './decision.ts'
import { concernsAll, narrowed } from './narrowed.ts'
import { failedFilters, undecided, type FilterQuestion } from './pass-filters.ts'
import { RowQuestions, type RowQuestion } from './row-questions.ts'

const WHOLE: Granted = { record: 'image', old: 'image' }
const OLD_KEY: Granted = { record: 'image', old: 'key' }
const KEYS: Granted = { record: 'key', old: 'key' }

/**
 * Has Postgres decide which rows the audiences get. Sends nothing. Rejects with {@link StalePolicyVersion}, with
 * {@link UnseenTransactions}, or when the database cannot be reached; all other faults are in the answer.
 */
export async function decide(pending: readonly PendingDelivery[], options: DecideOptions): Promise<Decision> {
  const deciding: Deciding = { ...options, faults: [], slow: [], granted: new Map() }
  const { database, faults, slow, granted } = deciding
  const passed = withoutFailed(pending, await failedFilters(undecided(pending), database, faults))
  const questions = new RowQuestions()
  for (const delivery of passed) {
    const isAsked = questions.ask(delivery, (row) => grant(deciding, delivery, row, uncheckedGrant(delivery, row)))
    if (!isAsked) faults.push({ kind: 'deletes-withheld', message: '', timedOut: false, deliveries: [delivery] })
  }
  await Promise.all([
    checkVersions(questions.unchecked, deciding),
    ...questions.fresh().map((question) => askRows(question, deciding)),
    ...questions.deleted().map((question) => askOldRows(question, deciding)),
  ])
  // The old row of an UPDATE is delivered whole only where the policies show its content; else its key is.
  const updated = questions.updated((delivery, row) => granted.get(delivery)?.get(row)?.record === 'image')
  await Promise.all(updated.map((question) => askOldRows(question, { ...deciding, faults: [] })))
  await dropUnmatched(passed, deciding)
  return {
    decided: passed.flatMap((delivery) => (granted.has(delivery) ? [{ delivery, granted: granted.get(delivery)! }] : [])),
    faults,
    slow,
  }
}

interface Deciding extends DecideOptions {
  readonly faults: DecisionFault[]
  readonly slow: PendingDelivery[]
  readonly granted: Map<PendingDelivery, Map<RowChange, Granted>>
}

function grant({ granted }: Deciding, delivery: PendingDelivery, row: RowChange, what: Granted): void {
  getOrMake(granted, delivery, () => new Map<RowChange, Granted>()).set(row, what)
}

function withoutFailed(pending: readonly PendingDelivery[], failed: ReadonlySet<FilterQuestion>): readonly PendingDelivery[] {
  if (failed.size === 0) return pending
  const rows = new Map<PendingDelivery, RowChange[]>()
  for (const { delivery, row } of failed) append(rows, delivery, row)
  return pending.map((delivery) => {
    const dropped = new Set(rows.get(delivery) ?? [])
    return dropped.size === 0 ? delivery : { ...delivery, rows: delivery.rows.filter((row) => !dropped.has(row)) }
  })
}

/** Without a question: no policies apply, or the row is gone and its key is all that is delivered (rule D6). */
function uncheckedGrant({ audience }: PendingDelivery, row: RowChange): Granted {
  if (row.action !== 'DELETE') return WHOLE
  return isAuthorizedDelete(audience, row) || (audience.identity === null && !row.table.rowSecurity) ? WHOLE : OLD_KEY
}

/** Privileges may have been revoked since the entries were loaded. */
async function checkVersions({ pairs, xids }: RowQuestions['unchecked'], deciding: Deciding): Promise<void> {
  if (pairs.length === 0) return
  const { database, waits, mayBeStale, faults, granted } = deciding
  try {
    const current = await database.checkVersions({ pairs, xids: [...xids], waits })
    const stale = pairs.find((_, index) => current[index] !== true)
    if (stale !== undefined) throw new StalePolicyVersion(stale.entry.oid)
  } catch (error) {
    if (concernsAll(error)) throw error
    if (pairs.length > 1) {
      for (const pair of pairs) await checkVersions({ pairs: [pair], xids }, deciding)
      return
    }
    const { entry, role } = pairs[0]!
    if (mayBeStale(entry.oid)) throw new StalePolicyVersion(entry.oid)
    const deliveries = [...granted.keys()].filter(({ audience }) => audience.entry === entry && audience.role === role)
    for (const delivery of deliveries) granted.delete(delivery)
    faults.push({ kind: 'row', message: errorText(error), timedOut: isTimeout(error), deliveries })
  }
}

async function askRows(question: RowQuestion, deciding: Deciding): Promise<void> {
  const { database, waits, faults } = deciding
  await narrowed(question, deciding, async (part) => {
    const answer = await database.checkRows({ ...part.check, waits })
    if (!answer.current) throw new StalePolicyVersion(part.entry.oid)
    if (answer.slow === true) deciding.slow.push(...part.deliveries)
    const current = new CurrentRows(publishedColumns(part.table))
    part.answered(answer, faults, (delivery, row, found) => {
      const record = current.contentOf(row, found)
      grant(deciding, delivery, row, record === 'image' ? OLD_KEY : record === 'key' ? KEYS : { record, old: 'key' })
    })
  })
}

/** What of old rows is delivered: the old rows themselves, or their keys. */
async function askOldRows(question: RowQuestion, deciding: Deciding): Promise<void> {
  const { database, waits, faults } = deciding
  await narrowed(question, deciding, async (part) => {
    const { entry, role, xids, identities, oldTexts } = part
    const answer = await database.checkOldRows({ entry, role, xids, waits, rows: oldTexts, identities })
    if (!answer.current) throw new StalePolicyVersion(entry.oid)
    part.answered(answer, faults, (delivery, row, found) => grant(deciding, delivery, row, found === 'image' ? WHOLE : OLD_KEY))
  })
}

/** A row that is delivered as it is now is delivered by its key alone where the filters do not match that. */
async function dropUnmatched(pending: readonly PendingDelivery[], { granted, database, faults }: Deciding): Promise<void> {
  const questions: FilterQuestion[] = []
  for (const delivery of pending) {
    if (delivery.audience.filters.length === 0) continue
    for (const [row, { record }] of granted.get(delivery) ?? [])
      if (typeof record !== 'string') questions.push({ delivery, row, text: filterText(record, { rowSecurity: true }) })
  }
  for (const { delivery, row } of await failedFilters(questions, database, faults)) granted.get(delivery)!.set(row, KEYS)
}
