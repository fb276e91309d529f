import type { CheckAnswer, FeedDatabase, FilterAnswer, FilterCheck } from './feed-database.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { filterText, oldRowText, primaryKeyTexts } from './change-row.ts'
import { channelsOf } from './crowd.ts'
import { deletesWithheld } from '../subscribe/changes-fault.ts'
import { isAuthorizedDelete, type FeedChannel, type Subscription } from '../subscribe/feed-channel.ts'
import type { PreparedFilter } from '../subscribe/filter-test.ts'
import type { CheckIdentity } from '../catalog/identity.ts'
import { faultOf } from '../subscribe/table-feed.ts'
import type { TableEntry } from '../catalog/table-entry.ts'

/** One change for one subscription, before and after Postgres decided. */
export interface Candidate {
  readonly change: RowChange
  readonly subscription: Subscription
  /** The channel's when this was begun. */
  generation: number
  /** Its identity's policies failed of late: it is decided apart from the others. */
  readonly apart: boolean
  /** Its own transaction wrote the row again. */
  readonly rewritten: boolean
  allowed: boolean
  /** The row was written again since. */
  superseded: boolean
}

export function candidateFor(
  change: RowChange,
  subscription: Subscription,
  { apart = false, rewritten = false }: { readonly apart?: boolean; readonly rewritten?: boolean } = {},
): Candidate {
  return { change, subscription, generation: subscription.channel.generation, apart, rewritten, allowed: false, superseded: false }
}

export interface DecisionContext {
  readonly database: FeedDatabase
  entryOf(oid: number): TableEntry | null
  /** Replays also want to know whether the row is still the one that the change wrote. */
  readonly replay: boolean
  /** Transactions that cannot be seen yet are waited for: there is nothing that could be told before them. */
  readonly waits: boolean
  /** A policy or filter failed, so nothing is shown to those whom it was to decide about. */
  failed(fault: DecisionFault): void
}

export interface DecisionFault {
  readonly kind: 'policy' | 'filter'
  readonly message: string
  readonly timedOut: boolean
  readonly entry: TableEntry
  readonly identity: CheckIdentity | null
  readonly channels: ReadonlySet<FeedChannel>
}

/** Policies changed while they were asked: `oid` is to be looked up again, and everything asked again. */
export class StaleEntry extends Error {
  readonly oid: number

  constructor(oid: number) {
    super('the policies of a table have changed')
    this.oid = oid
  }
}

/** These transactions, of those that wrote the changes, cannot be seen by whoever asks yet. */
export class UnseenTransactions extends Error {
  /** As Postgres says that it is not ready: whoever asked tries again. */
  readonly code = '57P03'
  readonly xids: ReadonlySet<number>

  constructor(xids: readonly number[]) {
    super('a transaction that was committed cannot be seen yet')
    this.xids = new Set(xids)
  }
}

/**
 * Has Postgres decide about the candidates. Everything a candidate is not expressly granted it is refused. Rejects with
 * {@link StaleEntry}, with {@link UnseenTransactions}, or when there is no database.
 */
export async function decide(candidates: readonly Candidate[], context: DecisionContext): Promise<void> {
  for (const candidate of candidates) {
    candidate.allowed = candidate.subscription.binding !== null
    candidate.superseded = false
  }
  await decideFilters(candidates, context)
  await decideRows(candidates, context)
}

interface FilterGroup {
  readonly entry: TableEntry
  readonly filter: PreparedFilter
  /** By the operand's JSON. */
  readonly operands: Map<string, { readonly values: readonly (string | null)[]; readonly index: number }>
  readonly texts: Map<string | null, number>
  readonly asked: { readonly candidate: Candidate; readonly operand: number; readonly text: number }[]
}

async function decideFilters(candidates: readonly Candidate[], context: DecisionContext): Promise<void> {
  const groups = new Map<string, FilterGroup>()
  for (const candidate of candidates) {
    const { filters, binding, oid } = candidate.subscription
    if (binding === null || faultOf(binding, candidate.change) !== null) continue
    for (const filter of filters) {
      if (filter.test !== null) continue
      const entry = context.entryOf(oid)
      const text = filterText(candidate.change, isAuthorizedDelete(candidate.subscription, candidate.change))(filter.column.name)
      if (entry === null || text === undefined) candidate.allowed = false
      else ask(groups, entry, filter, candidate, text)
    }
  }
  await Promise.all([...groups.values()].map((group) => askFilters(group, context)))
}

function ask(groups: Map<string, FilterGroup>, entry: TableEntry, filter: PreparedFilter, candidate: Candidate, text: string | null): void {
  const { op, negate } = filter.filter
  const key = `${entry.oid} ${filter.column.number} ${op} ${negate}`
  let group = groups.get(key)
  if (group === undefined) groups.set(key, (group = { entry, filter, operands: new Map(), texts: new Map(), asked: [] }))
  const operandKey = JSON.stringify(filter.values)
  let operand = group.operands.get(operandKey)
  if (operand === undefined) group.operands.set(operandKey, (operand = { values: filter.values, index: group.operands.size }))
  let index = group.texts.get(text)
  if (index === undefined) group.texts.set(text, (index = group.texts.size))
  group.asked.push({ candidate, operand: operand.index, text: index })
}

async function askFilters({ entry, filter, operands, texts, asked }: FilterGroup, context: DecisionContext): Promise<void> {
  const check: FilterCheck = {
    column: filter.column,
    op: filter.filter.op,
    negate: filter.filter.negate,
    operands: [...operands.values()].map(({ values }) => values),
    texts: [...texts.keys()],
  }
  const answers = await context.database.testFilters(check)
  for (const { candidate, operand, text } of asked) {
    const answer = answers[operand]
    if (answer?.ok !== true || !answer.matches.has(text)) candidate.allowed = false
  }
  answers.forEach((answer, index) => {
    if (!answer.ok)
      context.failed(
        filterFault(
          entry,
          answer,
          asked.filter(({ operand }) => operand === index).map(({ candidate }) => candidate),
        ),
      )
  })
}

function filterFault(entry: TableEntry, answer: Extract<FilterAnswer, { ok: false }>, candidates: readonly Candidate[]): DecisionFault {
  return { kind: 'filter', message: answer.message, timedOut: false, entry, identity: null, channels: channelsOfAll(candidates) }
}

interface RowGroup {
  readonly entry: TableEntry
  readonly role: string
  /** The rows were deleted: they are held against the policies as they were. */
  readonly deleted: boolean
  /** By row, the texts of its key; of a deleted row, the text of all of it. */
  readonly texts: (readonly string[])[]
  readonly rowOf: Map<RowChange, number>
  readonly xids: Set<number>
  readonly byIdentity: Map<CheckIdentity, { readonly rows: number[]; readonly candidates: Candidate[] }>
}

async function decideRows(candidates: readonly Candidate[], context: DecisionContext): Promise<void> {
  const groups = new Map<string, RowGroup>()
  const keys = new Map<RowChange, readonly string[] | null>()
  for (const candidate of candidates) if (candidate.allowed) wantRow(groups, keys, candidate, context)
  await Promise.all([...groups.values()].map((group) => askRows(group, context)))
}

function wantRow(
  groups: Map<string, RowGroup>,
  keys: Map<RowChange, readonly string[] | null>,
  candidate: Candidate,
  context: DecisionContext,
): void {
  const { change, subscription } = candidate
  const binding = subscription.binding!
  if (binding.identity === null || faultOf(binding, change) !== null) return
  const deleted = change.action === 'DELETE'
  // A deleted row can no longer be looked up: its key is all that is told to who does not ask for more (rule D6).
  if (deleted && !isAuthorizedDelete(subscription, change)) return
  const entry = context.entryOf(subscription.oid)
  const texts = entry === null ? null : deleted ? wholeRow(entry, change) : wholeKey(entry, change, keys)
  if (entry === null || texts === null) {
    candidate.allowed = false
    if (deleted && entry !== null) subscription.channel.warnOnce(deletesWithheldText(entry), deletesWithheld(entry))
    return
  }
  const groupKey = `${entry.oid} ${deleted} ${binding.role}`
  let group = groups.get(groupKey)
  if (group === undefined)
    groups.set(
      groupKey,
      (group = { entry, role: binding.role, deleted, texts: [], rowOf: new Map(), xids: new Set(), byIdentity: new Map() }),
    )
  let row = group.rowOf.get(change)
  if (row === undefined) {
    row = group.texts.push(texts) - 1
    group.rowOf.set(change, row)
    group.xids.add(change.transaction.xid)
  }
  let asked = group.byIdentity.get(binding.identity)
  if (asked === undefined) group.byIdentity.set(binding.identity, (asked = { rows: [], candidates: [] }))
  // Candidates come change by change.
  if (asked.rows.at(-1) !== row) asked.rows.push(row)
  asked.candidates.push(candidate)
}

function wholeKey(entry: TableEntry, change: RowChange, known: Map<RowChange, readonly string[] | null>): readonly string[] | null {
  let texts = known.get(change)
  if (texts === undefined) known.set(change, (texts = primaryKeyTexts(change)))
  return texts?.length === entry.primaryKey.length ? texts : null
}

function wholeRow(entry: TableEntry, change: RowChange): readonly string[] | null {
  if (!entry.wholeOldRows) return null
  const names = entry.columns.map(({ name }) => name)
  const text = oldRowText(change, names)
  return text === null ? null : [text]
}

/** Who asked for deletes of rows that it could see gets none of a table that does not tell what was deleted (rule D14). */
export function deletesWithheldText({ schema, name }: Pick<TableEntry, 'schema' | 'name'>): string {
  return `Deletes of ${schema}.${name} are withheld: to find out who could see a deleted row, it needs REPLICA IDENTITY FULL`
}

async function askRows({ entry, role, deleted, texts, rowOf, xids, byIdentity }: RowGroup, context: DecisionContext): Promise<void> {
  const asked = [...byIdentity]
  const { database, replay, waits } = context
  const check = { entry, role, xids: [...xids], waits, identities: asked.map(([identity, { rows }]) => ({ identity, rows })) }
  const answer: CheckAnswer = deleted
    ? await database.checkOldRows({ ...check, rows: texts.map(([text]) => text!) })
    : await database.checkRows({ ...check, keys: texts, withXmin: replay })
  if (!answer.current) throw new StaleEntry(entry.oid)
  asked.forEach(([identity, { candidates }], index) => {
    const one = answer.identities[index]
    for (const candidate of candidates) {
      const xid = one?.ok === true ? one.visible.get(rowOf.get(candidate.change)!) : undefined
      candidate.allowed = xid !== undefined
      candidate.superseded = replay && !deleted && xid !== undefined && (candidate.rewritten || xid !== candidate.change.transaction.xid)
    }
    if (one === undefined || (one.ok && one.fault === undefined)) return
    const message = one.ok ? one.fault! : one.message
    context.failed({ kind: 'policy', message, timedOut: !one.ok && one.timedOut, entry, identity, channels: channelsOfAll(candidates) })
  })
}

function channelsOfAll(candidates: readonly Candidate[]): Set<FeedChannel> {
  return channelsOf(candidates.map(({ subscription }) => subscription))
}
