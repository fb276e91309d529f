import type { CheckAnswer, FeedDatabase, FilterAnswer, FilterCheck, Grant } from './feed-database.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { filterText, imageOf, oldRowText, primaryKeyTexts, publishedColumns } from './change-row.ts'
import { CurrentRows, type Content } from './content.ts'
import { channelsOf } from './crowd.ts'
import { deletesWithheld } from '../subscribe/changes-fault.ts'
import { isAuthorizedDelete, type FeedChannel, type Subscription } from '../subscribe/feed-channel.ts'
import type { PreparedFilter } from '../subscribe/filter-test.ts'
import type { CheckIdentity } from '../catalog/identity.ts'
import { faultOf } from '../subscribe/table-feed.ts'
import { deletesWithheldText } from '../subscribe/withheld-text.ts'
import type { TableEntry } from '../catalog/table-entry.ts'

/** One change for one subscription, before and after Postgres decided. */
export interface Candidate {
  readonly change: RowChange
  readonly subscription: Subscription
  /** The channel's when this was begun. */
  generation: number
  /** Its identity's policies failed of late: it is decided apart from the others. */
  readonly apart: boolean
  allowed: boolean
  content: Content
  /** All of the old row may be sent, where policies would else cut it to the key. */
  wholeOld: boolean
}

export function candidateFor(
  change: RowChange,
  subscription: Subscription,
  { apart = false }: { readonly apart?: boolean } = {},
): Candidate {
  const { generation } = subscription.channel
  return { change, subscription, generation, apart, allowed: false, content: 'image', wholeOld: false }
}

export interface DecisionContext {
  readonly database: FeedDatabase
  entryOf(oid: number): TableEntry | null
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
    candidate.content = 'image'
    candidate.wholeOld = false
  }
  await decideFilters(candidates, context)
  await decideRows(candidates, context)
  await decideOldRows(candidates, context)
  await decideCurrentRows(candidates, context)
}

interface FilterGroup {
  readonly entry: TableEntry
  readonly filter: PreparedFilter
  /** By the operand's JSON. */
  readonly operands: Map<string, { readonly values: readonly (string | null)[]; readonly index: number }>
  readonly texts: Map<string | null, number>
  readonly asked: { readonly candidate: Candidate; readonly operand: number; readonly text: number }[]
  readonly refuse: (candidate: Candidate) => void
}

async function decideFilters(candidates: readonly Candidate[], context: DecisionContext): Promise<void> {
  const groups = new Map<string, FilterGroup>()
  const refuse = (candidate: Candidate): void => void (candidate.allowed = false)
  for (const candidate of candidates) {
    const { filters, binding, oid } = candidate.subscription
    if (binding === null || faultOf(binding, candidate.change) !== null) continue
    for (const filter of filters) {
      if (filter.test !== null) continue
      const entry = context.entryOf(oid)
      const asked = isAuthorizedDelete(candidate.subscription, candidate.change)
      const text = entry === null ? undefined : filterText(candidate.change, { asked, rowSecurity: entry.rowSecurity })(filter.column.name)
      if (entry === null || text === undefined) refuse(candidate)
      else ask(groups, entry, filter, candidate, text, refuse)
    }
  }
  await Promise.all([...groups.values()].map((group) => askFilters(group, context)))
}

/** A row that was written again is sent as it is now where the filters match that, else its key alone. */
async function decideCurrentRows(candidates: readonly Candidate[], context: DecisionContext): Promise<void> {
  const groups = new Map<string, FilterGroup>()
  const refuse = (candidate: Candidate): void => void (candidate.content = 'key')
  for (const candidate of candidates) {
    const { content, subscription } = candidate
    if (!candidate.allowed || typeof content === 'string') continue
    const entry = context.entryOf(subscription.oid)
    for (const filter of subscription.filters) {
      const text = filterText(content, { rowSecurity: true })(filter.column.name)
      if (entry === null || text === undefined || (filter.test !== null && filter.test(text) !== true)) refuse(candidate)
      else if (filter.test === null) ask(groups, entry, filter, candidate, text, refuse)
    }
  }
  await Promise.all([...groups.values()].map((group) => askFilters(group, context)))
}

function ask(
  groups: Map<string, FilterGroup>,
  entry: TableEntry,
  filter: PreparedFilter,
  candidate: Candidate,
  text: string | null,
  refuse: FilterGroup['refuse'],
): void {
  const { op, negate } = filter.filter
  const key = `${entry.oid} ${filter.column.number} ${op} ${negate}`
  let group = groups.get(key)
  if (group === undefined) groups.set(key, (group = { entry, filter, operands: new Map(), texts: new Map(), asked: [], refuse }))
  const operandKey = JSON.stringify(filter.values)
  let operand = group.operands.get(operandKey)
  if (operand === undefined) group.operands.set(operandKey, (operand = { values: filter.values, index: group.operands.size }))
  let index = group.texts.get(text)
  if (index === undefined) group.texts.set(text, (index = group.texts.size))
  group.asked.push({ candidate, operand: operand.index, text: index })
}

async function askFilters({ entry, filter, operands, texts, asked, refuse }: FilterGroup, context: DecisionContext): Promise<void> {
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
    if (answer?.ok !== true || !answer.matches.has(text)) refuse(candidate)
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
  /** Rows as they were before the change: policies are evaluated over them. */
  readonly old: boolean
  /** By row, the texts of its key; of an old row, the text of all of it. */
  readonly texts: (readonly string[])[]
  readonly rowOf: Map<RowChange, number>
  readonly xids: Set<number>
  readonly byIdentity: Map<CheckIdentity, { readonly rows: number[]; readonly candidates: Candidate[] }>
}

type RowGroups = Map<string, RowGroup>

/** Entries of whose rows something is delivered without a look at the row, by their key. */
type Remembered = Map<string, { readonly entry: TableEntry; readonly role: string; readonly xids: Set<number> }>

async function decideRows(candidates: readonly Candidate[], context: DecisionContext): Promise<void> {
  const groups: RowGroups = new Map()
  const remembered: Remembered = new Map()
  const keys = new Map<RowChange, readonly string[] | null>()
  for (const candidate of candidates) if (candidate.allowed) wantRow(groups, remembered, keys, candidate, context)
  await Promise.all([...[...groups.values()].map((group) => askRows(group, context)), compareVersions(remembered, context)])
}

function wantRow(
  groups: RowGroups,
  remembered: Remembered,
  keys: Map<RowChange, readonly string[] | null>,
  candidate: Candidate,
  context: DecisionContext,
): void {
  const { change, subscription } = candidate
  const binding = subscription.binding!
  const entry = context.entryOf(subscription.oid)
  const deleted = change.action === 'DELETE'
  // A deleted row can no longer be looked up: its key is all that a subscription gets that does not ask for more (rule D6).
  if (binding.identity === null || faultOf(binding, change) !== null || (deleted && !isAuthorizedDelete(subscription, change))) {
    if (entry === null) candidate.allowed = false
    else remember(remembered, entry, binding.role, change)
    return
  }
  const texts = entry === null ? null : deleted ? wholeRow(entry, change) : wholeKey(entry, change, keys)
  const withheld = deleted && entry !== null ? deletesWithheldText(entry, binding.role) : null
  if (withheld !== null) subscription.channel.warnOnce(withheld, deletesWithheld(entry!))
  if (entry === null || texts === null || withheld !== null) {
    candidate.allowed = false
    return
  }
  addRow(groups, entry, deleted, binding.identity, texts, candidate)
}

function remember(remembered: Remembered, entry: TableEntry, role: string, { transaction }: RowChange): void {
  const key = `${entry.oid} ${role}`
  let pair = remembered.get(key)
  if (pair === undefined) remembered.set(key, (pair = { entry, role, xids: new Set() }))
  pair.xids.add(transaction.xid)
}

/** Privileges may have been revoked since the entries were loaded. */
async function compareVersions(remembered: Remembered, { database, waits }: DecisionContext): Promise<void> {
  const pairs = [...remembered.values()]
  if (pairs.length === 0) return
  const current = await database.checkVersions({ pairs, xids: [...new Set(pairs.flatMap(({ xids }) => [...xids]))], waits })
  const stale = pairs.find((_, index) => current[index] !== true)
  if (stale !== undefined) throw new StaleEntry(stale.entry.oid)
}

/** Under policies, all of the old row of an UPDATE is sent where they are true for it (rule D6). */
async function decideOldRows(candidates: readonly Candidate[], context: DecisionContext): Promise<void> {
  const groups: RowGroups = new Map()
  for (const candidate of candidates) {
    const { change, subscription, allowed, content } = candidate
    const identity = subscription.binding?.identity ?? null
    if (!allowed || content !== 'image' || change.action !== 'UPDATE' || identity === null) continue
    const entry = context.entryOf(subscription.oid)
    const texts = entry === null ? null : wholeRow(entry, change)
    if (entry === null || texts === null || entry.roles.get(identity.role)?.scope !== 'row') continue
    addRow(groups, entry, true, identity, texts, candidate)
  }
  await Promise.all(
    [...groups.values()].map(async (group) => {
      for (const [candidate, grant] of await grantsOf(group, context)) candidate.wholeOld = grant === 'image'
    }),
  )
}

function addRow(
  groups: RowGroups,
  entry: TableEntry,
  old: boolean,
  identity: CheckIdentity,
  texts: readonly string[],
  candidate: Candidate,
): void {
  const { change } = candidate
  const groupKey = `${entry.oid} ${old} ${identity.role}`
  let group = groups.get(groupKey)
  if (group === undefined)
    groups.set(groupKey, (group = { entry, role: identity.role, old, texts: [], rowOf: new Map(), xids: new Set(), byIdentity: new Map() }))
  let row = group.rowOf.get(change)
  if (row === undefined) {
    row = group.texts.push(texts) - 1
    group.rowOf.set(change, row)
    group.xids.add(change.transaction.xid)
  }
  let asked = group.byIdentity.get(identity)
  if (asked === undefined) group.byIdentity.set(identity, (asked = { rows: [], candidates: [] }))
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
  if (!entry.replicaIdentityFull || change.old?.extent !== 'full') return null
  const names = entry.columns.map(({ name }) => name)
  const text = oldRowText(change, names)
  return text === null ? null : [text]
}

async function askRows(group: RowGroup, context: DecisionContext): Promise<void> {
  const current = new CurrentRows(columnsOf(group))
  for (const [candidate, grant] of await grantsOf(group, context)) {
    candidate.allowed = grant !== undefined
    if (grant !== undefined) candidate.content = current.contentOf(candidate.change, grant)
  }
}

/** Has Postgres decide. Rows that are denied are answered with `undefined`. */
async function grantsOf(group: RowGroup, context: DecisionContext): Promise<[Candidate, Grant | undefined][]> {
  const { entry, role, old, texts, rowOf, xids, byIdentity } = group
  const asked = [...byIdentity]
  const { database, waits } = context
  const check = { entry, role, xids: [...xids], waits, identities: asked.map(([identity, { rows }]) => ({ identity, rows })) }
  const columns = columnsOf(group)
  const answer: CheckAnswer = old
    ? await database.checkOldRows({ ...check, rows: texts.map(([text]) => text!) })
    : await database.checkRows({ ...check, keys: texts, columns, images: [...rowOf.keys()].map((change) => imageOf(change, columns)) })
  if (!answer.current) throw new StaleEntry(entry.oid)
  return asked.flatMap(([identity, { candidates }], index) => {
    const one = answer.identities[index]
    if (one !== undefined && !(one.ok && one.fault === undefined)) {
      const message = one.ok ? one.fault! : one.message
      context.failed({ kind: 'policy', message, timedOut: !one.ok && one.timedOut, entry, identity, channels: channelsOfAll(candidates) })
    }
    return candidates.map((candidate): [Candidate, Grant | undefined] => [
      candidate,
      one?.ok === true ? one.visible.get(rowOf.get(candidate.change)!) : undefined,
    ])
  })
}

function columnsOf({ rowOf }: RowGroup): readonly number[] {
  const [change] = rowOf.keys()
  return change === undefined ? [] : publishedColumns(change.table)
}

function channelsOfAll(candidates: readonly Candidate[]): Set<FeedChannel> {
  return channelsOf(candidates.map(({ subscription }) => subscription))
}
