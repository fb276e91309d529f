import { append, getOrMake } from '../catalog/multimap.ts'
import { filterText, publishedColumns } from '../replication/change-row.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { isAuthorizedDelete, type PendingDelivery } from '../subscribe/subscription.ts'
import { CurrentRows, type Content } from './content.ts'
import type { RowChecks } from './feed-database.ts'
import { narrowed } from './narrowed.ts'
import { failedFilters, undecided, type FilterQuestion } from './pass-filters.ts'
import { RowQuestions, type RowQuestion } from './row-questions.ts'

/** What of a change an audience gets. */
export interface Granted {
  /** Of the row as it is after the change. */
  readonly record: Content
  /** Of the row as it was before: its replica identity, or its key alone. */
  readonly old: 'image' | 'key'
}

/** What was decided about the rows of a delivery. A row that was not granted is refused. */
export interface Decided {
  readonly delivery: PendingDelivery
  readonly granted: ReadonlyMap<RowChange, Granted>
}

export interface DecisionFault {
  readonly kind: 'policy' | 'filter' | 'deletes-withheld' | 'row'
  readonly message: string
  readonly timedOut: boolean
  /** What could not be decided because of it, in whole or in part. */
  readonly deliveries: readonly PendingDelivery[]
}

export interface Decision {
  readonly decided: readonly Decided[]
  readonly faults: readonly DecisionFault[]
}

export interface DecideOptions {
  readonly database: RowChecks
  /** Transactions that are not visible yet are waited for: nothing could be delivered before them. */
  readonly waits: boolean
}

/** The table has another policy version than its entry: it is to be loaded again, and everything asked again. */
export class StaleEntry extends Error {
  readonly oid: number

  constructor(oid: number) {
    super('the policies of a table have changed')
    this.oid = oid
  }
}

/** Transactions that wrote the changes and are not visible to other sessions yet. */
export class UnseenTransactions extends Error {
  /** As Postgres says that it is not ready: the question is asked again. */
  readonly code = '57P03'
  readonly xids: ReadonlySet<number>

  constructor(xids: readonly number[]) {
    super('a transaction that was committed cannot be seen yet')
    this.xids = new Set(xids)
  }
}

const WHOLE: Granted = { record: 'image', old: 'image' }
const OLD_KEY: Granted = { record: 'image', old: 'key' }
const KEYS: Granted = { record: 'key', old: 'key' }

/** The refused rows of a delivery. */
export function refusedRows({ delivery, granted }: Decided): RowChange[] {
  return delivery.rows.filter((row) => !granted.has(row))
}

/**
 * Has Postgres decide which rows the audiences get. Sends nothing. Rejects with {@link StaleEntry}, with
 * {@link UnseenTransactions}, or when the database cannot be reached; all other faults are in the answer.
 */
export async function decide(pending: readonly PendingDelivery[], { database, waits }: DecideOptions): Promise<Decision> {
  const faults: DecisionFault[] = []
  const passed = withoutFailed(pending, await failedFilters(undecided(pending), database, faults))
  const questions = new RowQuestions()
  const granted = new Map<PendingDelivery, Map<RowChange, Granted>>()
  const options = { database, waits }
  const grantsOf = (delivery: PendingDelivery): Map<RowChange, Granted> => getOrMake(granted, delivery, () => new Map<RowChange, Granted>())
  for (const delivery of passed) {
    const isAsked = questions.ask(delivery, (row) => grantsOf(delivery).set(row, uncheckedGrant(delivery, row)))
    if (!isAsked) faults.push({ kind: 'deletes-withheld', message: '', timedOut: false, deliveries: [delivery] })
  }
  await Promise.all([
    checkVersions(questions.unchecked, database, waits),
    ...questions.fresh().map((question) => askRows(question, options, grantsOf, faults)),
    ...questions
      .deleted()
      .map((question) => askOldRows(question, options, (delivery, row, grant) => grantsOf(delivery).set(row, grant), faults)),
  ])
  // The old row of an UPDATE is delivered whole only where the policies show its content; else its key is.
  const updated = questions.updated((delivery, row) => granted.get(delivery)?.get(row)?.record === 'image')
  await Promise.all(
    updated.map((question) => askOldRows(question, options, (delivery, row, grant) => granted.get(delivery)!.set(row, grant), [])),
  )
  await dropUnmatched(passed, granted, database, faults)
  return { decided: passed.flatMap((delivery) => (granted.has(delivery) ? [{ delivery, granted: granted.get(delivery)! }] : [])), faults }
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

type Grants = (delivery: PendingDelivery) => Map<RowChange, Granted>

async function checkVersions(unchecked: RowQuestions['unchecked'], database: RowChecks, waits: boolean): Promise<void> {
  if (unchecked.pairs.length === 0) return
  const current = await database.checkVersions({ pairs: unchecked.pairs, xids: [...unchecked.xids], waits })
  const stale = unchecked.pairs.find((_, index) => current[index] !== true)
  if (stale !== undefined) throw new StaleEntry(stale.entry.oid)
}

async function askRows(
  question: RowQuestion,
  { database, waits }: DecideOptions,
  grantsOf: Grants,
  faults: DecisionFault[],
): Promise<void> {
  await narrowed(question, faults, async (part) => {
    const answer = await database.checkRows({ ...part.check, waits })
    if (!answer.current) throw new StaleEntry(part.entry.oid)
    const current = new CurrentRows(publishedColumns(part.table))
    part.answered(answer, faults, (delivery, row, grant) =>
      grantsOf(delivery).set(
        row,
        grant === 'image' ? OLD_KEY : grant === 'key' ? KEYS : { record: current.contentOf(row, grant), old: 'key' },
      ),
    )
  })
}

/** What of old rows is delivered: the old rows themselves, or their keys. */
async function askOldRows(
  question: RowQuestion,
  { database, waits }: DecideOptions,
  grant: (delivery: PendingDelivery, row: RowChange, granted: Granted) => void,
  faults: DecisionFault[],
): Promise<void> {
  await narrowed(question, faults, async (part) => {
    const { entry, role, xids, identities, oldTexts } = part
    const answer = await database.checkOldRows({ entry, role, xids, waits, rows: oldTexts, identities })
    if (!answer.current) throw new StaleEntry(entry.oid)
    part.answered(answer, faults, (delivery, row, found) => grant(delivery, row, found === 'image' ? WHOLE : OLD_KEY))
  })
}

/** A row that is delivered as it is now is delivered by its key alone where the filters do not match that. */
async function dropUnmatched(
  pending: readonly PendingDelivery[],
  granted: ReadonlyMap<PendingDelivery, Map<RowChange, Granted>>,
  database: RowChecks,
  faults: DecisionFault[],
): Promise<void> {
  const questions: FilterQuestion[] = []
  for (const delivery of pending) {
    if (delivery.audience.filters.length === 0) continue
    for (const [row, { record }] of granted.get(delivery) ?? [])
      if (typeof record !== 'string') questions.push({ delivery, row, text: filterText(record, { rowSecurity: true }) })
  }
  for (const { delivery, row } of await failedFilters(questions, database, faults)) granted.get(delivery)!.set(row, KEYS)
}
