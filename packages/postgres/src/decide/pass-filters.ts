import { errorText, isTimeout } from '../catalog/database-fault.ts'
import { getOrMake } from '../catalog/multimap.ts'
import { verdictOf, type PreparedFilter } from '../subscribe/prepared-filter.ts'
import { filterTextOf, type PendingDelivery } from '../subscribe/audience.ts'
import type { DecisionFault, FilterQuestion } from './decision.ts'
import { concernsAll } from './ask-again.ts'
import type { FilterAnswer, RowChecks } from './feed-database.ts'

/** Rows for which Postgres has to evaluate a filter of the delivery. */
export function undecided(pending: readonly PendingDelivery[]): FilterQuestion[] {
  return pending
    .filter(({ asks }) => asks)
    .flatMap((delivery) => delivery.rows.map((row) => ({ delivery, row, text: filterTextOf(delivery.audience, row) })))
}

/** Filters of one column, operator and kind. */
interface FilterGroup {
  readonly filter: PreparedFilter
  readonly texts: Map<string | null, number>
  /** By the JSON of their values. */
  readonly operands: Map<string, { readonly filter: PreparedFilter; readonly asked: Asked[] }>
}

interface Asked {
  readonly question: FilterQuestion
  /** The number of its text. */
  readonly text: number
}

/** The questions whose answer is no, with the filter that says so. */
export async function failedFilters(
  questions: readonly FilterQuestion[],
  checks: Pick<RowChecks, 'testFilters'>,
  faults: DecisionFault[],
): Promise<Map<FilterQuestion, PreparedFilter>> {
  const failed = new Map<FilterQuestion, PreparedFilter>()
  const groups = new Map<string, FilterGroup>()
  for (const question of questions) {
    const { audience } = question.delivery
    for (const filter of audience.filters) {
      const verdict = verdictOf(filter, question.row.table, question.text)
      if (verdict === false) failed.set(question, filter)
      else if (verdict === null) ask(groups, audience.table.oid, filter, question)
    }
  }
  await Promise.all([...groups.values()].map((group) => answer(group, checks, failed, faults)))
  return failed
}

function ask(groups: Map<string, FilterGroup>, oid: number, filter: PreparedFilter, question: FilterQuestion): void {
  const { op, negate } = filter.filter
  const key = `${oid} ${filter.column.number} ${filter.column.typeOid} ${op} ${negate}`
  const { texts, operands } = getOrMake(groups, key, (): FilterGroup => ({ filter, texts: new Map(), operands: new Map() }))
  const text = getOrMake(texts, question.text(filter.column.name) ?? null, () => texts.size)
  getOrMake(operands, JSON.stringify(filter.values), () => ({ filter, asked: [] as Asked[] })).asked.push({ question, text })
}

async function answer(
  { filter: { column, filter }, texts, operands }: FilterGroup,
  checks: Pick<RowChecks, 'testFilters'>,
  failed: Map<FilterQuestion, PreparedFilter>,
  faults: DecisionFault[],
): Promise<void> {
  const groups = [...operands.values()]
  const check = {
    column,
    op: filter.op,
    negate: filter.negate,
    operands: groups.map((each) => each.filter.values),
    texts: [...texts.keys()],
  }
  let kind: DecisionFault['kind'] = 'filter'
  const answers = await checks.testFilters(check).catch((error: unknown): FilterAnswer[] => {
    if (concernsAll(error)) throw error
    const timedOut = isTimeout(error)
    // The question failed as a whole: its filters are not at fault.
    if (!timedOut) kind = 'row'
    return groups.map(() => ({ ok: false, message: errorText(error), timedOut }))
  })
  for (const [index, { filter: own, asked }] of groups.entries()) {
    const found = answers[index]
    const unmatched = asked.filter(({ text }) => found?.ok !== true || !found.matches.has(text))
    for (const { question } of unmatched) failed.set(question, own)
    if (found?.ok !== false || unmatched.length === 0) continue
    const deliveries = [...new Set(unmatched.map(({ question }) => question.delivery))]
    faults.push({ kind, message: found.message, timedOut: found.timedOut === true, deliveries })
  }
}
