import { parseFilter, type WhyStep } from '@tidewire/protocol'
import type { ExplainChange } from '@tidewire/server'
import type { CatalogPort } from '../../catalog/catalog-port.ts'
import type { CatalogTable } from '../../catalog/catalog-table.ts'
import type { PreparedFilter } from '../../subscribe/prepared-filter.ts'
import { prepareFilters } from '../../subscribe/subscribe-plan.ts'
import type { Row, RowDecision } from './decide-row.ts'
import { no, yes } from './explain-policies.ts'

/** One subscription's filter, as it was asked for: prepared, or why it is refused. */
export type AskedFilter = { readonly text: string; readonly filters: readonly PreparedFilter[] } | { readonly refusal: string }

export async function askedFilter(
  text: string,
  { identity }: ExplainChange,
  table: CatalogTable,
  database: CatalogPort,
): Promise<AskedFilter> {
  const parsed = parseFilter(text)
  if (!parsed.ok) return { refusal: `The filter ${text} makes no sense: ${parsed.detail}.` }
  const filters = await prepareFilters({ filters: parsed.filters }, table, identity.role, database)
  return 'text' in filters ? { refusal: `The filter ${text} is refused: ${filters.text} ${filters.fault.hint}` } : { text, filters }
}

/** One subscription whose filter lets the row through is enough. */
export function explainFilters(asked: readonly AskedFilter[], row: Row, { heldBack }: RowDecision): readonly WhyStep[] {
  const steps = asked.map((each) =>
    'refusal' in each ? no('filter', each.refusal) : filterStep(each.text, each.filters, row, heldBack.get(each.filters)),
  )
  const isThrough = steps.some(({ outcome }) => outcome === 'yes')
  return steps.map((step) => (isThrough && step.outcome === 'no' ? yes('filter', `${step.text} Another one does.`) : step))
}

function filterStep(
  text: string,
  filters: readonly PreparedFilter[],
  { texts }: Row,
  held: { readonly filter: PreparedFilter; readonly fault: string | null } | undefined,
): WhyStep {
  if (held === undefined)
    return yes('filter', filters.length === 0 ? 'Without a filter, all rows are wanted.' : `The filter ${text} lets the row through.`)
  if (held.fault !== null) return no('filter', `The filter ${text} could not be compared: ${held.fault}.`)
  const { name } = held.filter.column
  const value = texts.get(name) ?? null
  const shown = value === null ? 'null' : JSON.stringify(value.slice(0, 100))
  return no('filter', `The filter ${text} does not let the row through: ${name} is ${shown}.`)
}
