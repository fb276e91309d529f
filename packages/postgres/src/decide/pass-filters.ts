import { errorText, isTimeout } from '../catalog/database-fault.ts'
import { append, getOrMake } from '../catalog/multimap.ts'
import { filterText, type ColumnText } from '../replication/change-row.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { testFor, type PreparedFilter } from '../subscribe/filter-test.ts'
import { faultOf, filterView, type PendingDelivery } from '../subscribe/audience.ts'
import type { DecisionFault } from './decision.ts'
import { concernsAll } from './narrowed.ts'
import type { FilterAnswer, FilterCheck, RowChecks } from './feed-database.ts'

/** A row that a filter is to be evaluated for, as the change wrote it or as it is now. */
export interface FilterQuestion {
  readonly delivery: PendingDelivery
  readonly row: RowChange
  readonly text: ColumnText
}

/** Of the deliveries, the rows that Postgres has to evaluate a filter for. */
export function* undecided(pending: readonly PendingDelivery[]): Generator<FilterQuestion> {
  for (const delivery of pending) {
    const { audience, rows } = delivery
    if (audience.filters.length === 0) continue
    for (const row of rows) {
      if (faultOf(audience, row) !== null) continue
      const text = filterText(row, filterView(audience, row))
      if (audience.filters.some((filter) => decidedHere(filter, row, text) === null)) yield { delivery, row, text }
    }
  }
}

/** `null`: only Postgres can evaluate it, or has to say what is wrong with the text. */
function decidedHere(filter: PreparedFilter, { table }: RowChange, text: ColumnText): boolean | null {
  const value = text(filter.column.name)
  const test = testFor(filter, table)
  if (value === undefined) return false
  if (test === null) return null
  try {
    return test(value) === true
  } catch {
    return null
  }
}

interface FilterGroup {
  readonly filter: PreparedFilter
  /** By the operand's JSON. */
  readonly operands: Map<string, { readonly values: readonly (string | null)[]; readonly index: number }>
  readonly texts: Map<string | null, number>
  readonly asked: { readonly question: FilterQuestion; readonly operand: number; readonly text: number }[]
}

/** The questions whose answer is no. Filters of one column, operator and kind are evaluated together. */
export async function failedFilters(
  questions: Iterable<FilterQuestion>,
  checks: Pick<RowChecks, 'testFilters'>,
  faults: DecisionFault[],
): Promise<Set<FilterQuestion>> {
  const failed = new Set<FilterQuestion>()
  const groups = new Map<string, FilterGroup>()
  for (const question of questions) {
    const { audience } = question.delivery
    for (const filter of audience.filters) {
      const value = question.text(filter.column.name)
      const here = decidedHere(filter, question.row, question.text)
      if (here === false || value === undefined) failed.add(question)
      else if (here === null) ask(groups, audience.entry.oid, filter, question, value)
    }
  }
  await Promise.all([...groups.values()].map((group) => answer(group, checks, failed, faults)))
  return failed
}

function ask(groups: Map<string, FilterGroup>, oid: number, filter: PreparedFilter, question: FilterQuestion, text: string | null): void {
  const { op, negate } = filter.filter
  const key = `${oid} ${filter.column.number} ${filter.column.typeOid} ${op} ${negate}`
  const group = getOrMake(groups, key, (): FilterGroup => ({ filter, operands: new Map(), texts: new Map(), asked: [] }))
  const { values } = filter
  const operand = getOrMake(group.operands, JSON.stringify(values), () => ({ values, index: group.operands.size }))
  group.asked.push({ question, operand: operand.index, text: getOrMake(group.texts, text, () => group.texts.size) })
}

async function answer(
  { filter, operands, texts, asked }: FilterGroup,
  checks: Pick<RowChecks, 'testFilters'>,
  failed: Set<FilterQuestion>,
  faults: DecisionFault[],
): Promise<void> {
  const check: FilterCheck = {
    column: filter.column,
    op: filter.filter.op,
    negate: filter.filter.negate,
    operands: [...operands.values()].map(({ values }) => values),
    texts: [...texts.keys()],
  }
  let kind: DecisionFault['kind'] = 'filter'
  const answers = await checks.testFilters(check).catch((error: unknown): FilterAnswer[] => {
    if (concernsAll(error)) throw error
    const timedOut = isTimeout(error)
    // Not the filters failed, but the question.
    if (!timedOut) kind = 'row'
    return check.operands.map(() => ({ ok: false, message: errorText(error), timedOut }))
  })
  const faulty = new Map<number, PendingDelivery[]>()
  for (const { question, operand, text } of asked) {
    const found = answers[operand]
    if (found?.ok === true && found.matches.has(text)) continue
    failed.add(question)
    if (found?.ok === false) append(faulty, operand, question.delivery)
  }
  for (const [operand, deliveries] of faulty) {
    const found = answers[operand]!
    if (found.ok) continue
    faults.push({ kind, message: found.message, timedOut: found.timedOut === true, deliveries: [...new Set(deliveries)] })
  }
}
