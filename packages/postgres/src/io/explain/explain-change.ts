import type { WhyStep } from '@tidewire/protocol'
import type { ExplainChange } from '@tidewire/server'
import pg from 'pg'
import type { CatalogPort } from '../../catalog/catalog-port.ts'
import type { CatalogTable } from '../../catalog/catalog-table.ts'
import type { RowChecks } from '../../decide/feed-database.ts'
import { tryAs } from '../sessions/as-identity.ts'
import type { SessionsWhenOpen } from '../sessions/feed-sessions.ts'
import { decideRow, readRow, type RowDecision } from './decide-row.ts'
import { askedFilter, explainFilters } from './explain-filters.ts'
import { explainPolicies, no, overruled, roleStep, selectPolicies, yes } from './explain-policies.ts'

export interface ExplainChangeContext {
  readonly sessions: SessionsWhenOpen
  readonly database: CatalogPort
  /** Checks that leave nothing behind. */
  readonly checks: RowChecks
  readonly publication: string
}

/**
 * Why an identity does or does not get a change of a row, up to what decided. What the catalog says comes first; then the feed's own
 * code matches and decides a change that writes the row as it is now, and its decision is the last step.
 */
export async function explainChange(context: ExplainChangeContext, question: ExplainChange): Promise<readonly WhyStep[]> {
  const { database, sessions, publication } = context
  const { identity, schema, table: tableName } = question
  const name = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(tableName)}`
  const steps: WhyStep[] = []
  const decided = (...more: readonly WhyStep[]): boolean => {
    steps.push(...more)
    return more.some(({ outcome }) => outcome === 'no')
  }
  const published = (await database.publishedTables()).find((each) => each.schema === schema && each.name === tableName)
  if (decided(publishedStep(published !== undefined, publication, name))) return steps
  const table = (await database.tables([published!.oid], [identity.role])).get(published!.oid)
  if (table === undefined) return steps
  if (decided(keyStep(table, name))) return steps
  const role = await database.role(identity.role)
  if (decided(roleStep(role))) return steps
  if (decided(privilegeStep(table, identity.role, name))) return steps
  const key = table.primaryKey.flatMap((column) => question.key[column.name] ?? [])
  if (key.length < table.primaryKey.length) {
    const columns = table.primaryKey.map((column) => column.name).join(', ')
    return [...steps, no('row', `The primary key of ${name} is ${columns}: give a value for each.`)]
  }
  const { catalog, isolated } = await sessions()
  const row = await catalog.withSession((session) => readRow(session, table, name, key))
  if (typeof row === 'string') return [...steps, no('row', row)]
  steps.push(yes('row', 'The row exists.'))
  const asked = await Promise.all(question.filters.map((text) => askedFilter(text, question, table, database)))
  // Where no subscription is asked about, it is about one without filters.
  const filters = asked.length === 0 ? [[]] : asked.flatMap((each) => ('filters' in each ? [each.filters] : []))
  const decision = await decideRow({ table, role, row, identity, filters }, context.checks)
  if (decided(...explainFilters(asked, row, decision))) return steps
  const shown = shownStep(decision, question, table, name, key)
  if (!table.rowSecurity)
    return [...steps, yes('policy', `Row Level Security is off on ${name}: every role that may select it sees every row.`), shown]
  if (decision.identity === null) return [...steps, yes('policy', `Row Level Security does not count for ${identity.role}.`), shown]
  const as = { role: identity.role, settings: { 'request.jwt.claims': decision.identity.claims } }
  const about = { identity, schema, table: tableName, row: row.json, topic: null, as }
  const policies = await catalog.withSession((session) => selectPolicies(session, about))
  if (policies.length === 0) {
    const sql = `create policy "may see" on ${name} for select to ${pg.escapeIdentifier(identity.role)}\n  using (true);`
    return [...steps, no('policy', `Row Level Security is on, and no SELECT policy of ${name} is for ${identity.role}.`, sql)]
  }
  return [...steps, ...overruled(await explainPolicies(isolated, about, policies), shown)]
}

function publishedStep(isPublished: boolean, publication: string, name: string): WhyStep {
  if (isPublished) return yes('publication', `${name} is in the publication ${publication}.`)
  const sql = `alter publication ${pg.escapeIdentifier(publication)} add table ${name};`
  return no('publication', `${name} is not in the publication ${publication}, or does not exist.`, sql)
}

function keyStep({ primaryKey }: CatalogTable, name: string): WhyStep {
  if (primaryKey.length > 0) return yes('publication', `Its primary key is ${primaryKey.map((column) => column.name).join(', ')}.`)
  const sql = `alter table ${name} add column id bigint generated always as identity primary key;`
  return no('publication', `${name} has no primary key, so that rows cannot be looked up.`, sql)
}

function privilegeStep(table: CatalogTable, role: string, name: string): WhyStep {
  const to = pg.escapeIdentifier(role)
  if (table.roles.get(role)?.usesSchema !== true) {
    const sql = `grant usage on schema ${pg.escapeIdentifier(table.schema)} to ${to};`
    return no('privilege', `${role} lacks USAGE on the schema ${table.schema}.`, sql)
  }
  const hidden = table.columns.filter(({ rolesWithSelect }) => !rolesWithSelect.has(role)).map((column) => column.name)
  const sql = `grant select on ${name} to ${to};`
  if (hidden.length === table.columns.length) return no('privilege', `${role} lacks SELECT on ${name}.`, sql)
  const key = table.primaryKey.find(({ rolesWithSelect }) => !rolesWithSelect.has(role))
  if (key !== undefined) return no('privilege', `${role} lacks SELECT on the column ${key.name}, which is in the primary key.`, sql)
  const but = hidden.length === 0 ? '' : `, but not on ${hidden.join(', ')}, which it does not get`
  return yes('privilege', `${role} has SELECT on ${name}${but}.`)
}

function shownStep(
  { isGranted, fault }: RowDecision,
  { identity }: ExplainChange,
  { primaryKey }: CatalogTable,
  name: string,
  key: readonly string[],
): WhyStep {
  if (isGranted) return yes('row', `Postgres shows the row to ${identity.role}.`)
  const literal = primaryKey.map((column, at) => `${pg.escapeIdentifier(column.name)} = ${pg.escapeLiteral(key[at]!)}`).join(' and ')
  const text = fault === null ? `Postgres does not show the row to ${identity.role}.` : `Postgres refuses to show the row: ${fault}.`
  return no('row', text, tryAs(identity, null, `select * from ${name} where ${literal}`))
}
