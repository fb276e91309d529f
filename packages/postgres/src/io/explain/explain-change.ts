import { parseFilter, type WhyStep } from '@tidewire/protocol'
import type { ExplainChange } from '@tidewire/server'
import pg from 'pg'
import { prepareFilters } from '../../subscribe/subscribe-plan.ts'
import type { FeedDatabase } from '../../decide/feed-database.ts'
import type { CatalogTable } from '../../catalog/catalog-table.ts'
import { asIdentity, feedSettings, tryAs } from '../sessions/as-identity.ts'
import { explainPolicies, no, overruled, selectPolicies, yes } from './explain-policies.ts'
import type { SessionsWhenOpen } from '../sessions/feed-sessions.ts'
import { explainRole } from './explain-role.ts'

export interface ExplainChangeContext {
  readonly sessions: SessionsWhenOpen
  readonly database: FeedDatabase
  readonly publication: string
}

/** Why an identity does or does not get a change of a row: in the order in which the feed decides, up to what decided. */
export async function explainChange(context: ExplainChangeContext, question: ExplainChange): Promise<readonly WhyStep[]> {
  const { checker } = await context.sessions()
  const { identity, schema, table } = question
  const name = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`
  const steps: WhyStep[] = []
  const decided = (...more: readonly WhyStep[]): boolean => {
    steps.push(...more)
    return more.some(({ outcome }) => outcome === 'no')
  }
  const published = (await context.database.publishedTables()).find((each) => each.schema === schema && each.name === table)
  if (decided(publishedStep(published !== undefined, context.publication, name))) return steps
  const entry = (await context.database.tables([published!.oid], [identity.role])).get(published!.oid)
  if (entry === undefined) return steps
  if (decided(keyStep(entry, name))) return steps
  const role = await explainRole(checker, identity.role)
  if (decided(...role.steps)) return steps
  if (decided(privilegeStep(entry, identity.role, name))) return steps
  const keyed = entry.primaryKey.map((column) => question.key[column.name])
  if (keyed.some((value) => value === undefined)) {
    const columns = entry.primaryKey.map((column) => column.name).join(', ')
    return [...steps, no('row', `The primary key of ${name} is ${columns}: give a value for each.`)]
  }
  const key = keyed as string[]
  const row = await readRow(context, entry, name, key)
  if (typeof row === 'string') return [...steps, no('row', row)]
  if (decided(yes('row', 'The row exists.'), ...(await filterSteps(context, entry, question, row.texts)))) return steps
  if (!entry.rowSecurity) {
    steps.push(yes('policy', `Row Level Security is off on ${name}: every role that may select it sees every row.`))
    return steps
  }
  if (role.bypassesRowSecurity) {
    steps.push(yes('policy', `Row Level Security does not count for ${identity.role}.`))
    return steps
  }
  const about = { identity, schema, table, row: row.json, topic: null, as: feedSettings(identity, entry.claims) }
  const policies = await (await context.sessions()).catalog.withSession((session) => selectPolicies(session, about))
  if (policies.length === 0) {
    const sql = `create policy "may see" on ${name} for select to ${pg.escapeIdentifier(identity.role)}\n  using (true);`
    steps.push(no('policy', `Row Level Security is on, and no SELECT policy of ${name} is for ${identity.role}.`, sql))
    return steps
  }
  const visible = await visibleStep(context, entry, question, name, key)
  steps.push(...overruled(await explainPolicies(checker, about, policies), visible))
  return steps
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

function privilegeStep(entry: CatalogTable, role: string, name: string): WhyStep {
  const to = pg.escapeIdentifier(role)
  if (entry.roles.get(role)?.usesSchema !== true) {
    const sql = `grant usage on schema ${pg.escapeIdentifier(entry.schema)} to ${to};`
    return no('privilege', `${role} lacks USAGE on the schema ${entry.schema}.`, sql)
  }
  const hidden = entry.columns.filter(({ rolesWithSelect }) => !rolesWithSelect.has(role)).map((column) => column.name)
  const sql = `grant select on ${name} to ${to};`
  if (hidden.length === entry.columns.length) return no('privilege', `${role} lacks SELECT on ${name}.`, sql)
  const key = entry.primaryKey.find(({ rolesWithSelect }) => !rolesWithSelect.has(role))
  if (key !== undefined) return no('privilege', `${role} lacks SELECT on the column ${key.name}, which is in the primary key.`, sql)
  const but = hidden.length === 0 ? '' : `, but not on ${hidden.join(', ')}, which it does not get`
  return yes('privilege', `${role} has SELECT on ${name}${but}.`)
}

interface Row {
  readonly json: string
  readonly texts: ReadonlyMap<string, string | null>
}

/** Read with the server's own login, which no policy holds back; a plain look-up, in which no user's functions run. Or a sentence why not. */
async function readRow(
  { sessions }: ExplainChangeContext,
  entry: CatalogTable,
  name: string,
  key: readonly string[],
): Promise<Row | string> {
  const texts = entry.columns.map((column, at) => `t.${pg.escapeIdentifier(column.name)}::text as c${at}`)
  try {
    const { rows } = await (
      await sessions()
    ).catalog.withSession((session) =>
      session.query<Record<string, string | null> & { json: string }>(
        `select pg_catalog.to_jsonb(t)::text as json, ${texts.join(', ')} from ${name} t where ${onKey(entry)}`,
        [...key],
      ),
    )
    const row = rows[0]
    if (row === undefined) return 'There is no row with this key now. If it was deleted, its key was sent to all who asked for deletes.'
    return { json: row.json, texts: new Map(entry.columns.map((column, at) => [column.name, row[`c${at}`] ?? null])) }
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error
    return `The row could not be looked up: ${error.message}.`
  }
}

function onKey({ primaryKey }: CatalogTable): string {
  return primaryKey.map(({ name, typeSql }, at) => `${pg.escapeIdentifier(name)} = $${at + 1}::text::${typeSql}`).join(' and ')
}

/** One subscription whose filter lets the row through is enough. */
async function filterSteps(
  context: ExplainChangeContext,
  entry: CatalogTable,
  { filters, identity }: ExplainChange,
  texts: Row['texts'],
): Promise<readonly WhyStep[]> {
  const steps = await Promise.all(filters.map((text) => filterStep(context, entry, identity.role, text, texts)))
  const isThrough = steps.some(({ outcome }) => outcome === 'yes')
  return isThrough
    ? steps.map((step) => (step.outcome === 'no' ? { ...step, outcome: 'yes', text: `${step.text} Another one does.` } : step))
    : steps
}

async function filterStep(
  { database }: ExplainChangeContext,
  entry: CatalogTable,
  role: string,
  text: string,
  texts: Row['texts'],
): Promise<WhyStep> {
  const step = (outcome: WhyStep['outcome'], detail: string): WhyStep => ({ check: 'filter', outcome, text: detail })
  if (text.trim() === '') return step('yes', 'Without a filter, all rows are wanted.')
  const parsed = parseFilter(text)
  if (!parsed.ok) return step('no', `The filter ${text} makes no sense: ${parsed.detail}.`)
  const prepared = await prepareFilters({ filters: parsed.filters }, entry, role, database)
  if ('text' in prepared) return step('no', `The filter ${text} is refused: ${prepared.text} ${prepared.fault.hint}`)
  for (const { filter, column, values } of prepared) {
    const value = texts.get(column.name) ?? null
    const { op, negate } = filter
    const [answer] = await database.apart.testFilters({ column, op, negate, operands: [values], texts: [value] })
    if (!answer!.ok) return step('no', `The filter ${text} could not be compared: ${answer!.message}.`)
    if (answer!.matches.has(0)) continue
    const shown = value === null ? 'null' : JSON.stringify(value.slice(0, 100))
    return step('no', `The filter ${text} does not let the row through: ${column.name} is ${shown}.`)
  }
  return step('yes', `The filter ${text} lets the row through.`)
}

async function visibleStep(
  { sessions }: ExplainChangeContext,
  entry: CatalogTable,
  { identity }: ExplainChange,
  name: string,
  key: readonly string[],
): Promise<WhyStep> {
  const literal = entry.primaryKey.map((column, at) => `${pg.escapeIdentifier(column.name)} = ${pg.escapeLiteral(key[at]!)}`).join(' and ')
  const sql = tryAs(identity, null, `select * from ${name} where ${literal}`)
  try {
    const isVisible = await (
      await sessions()
    ).checker.withSession((session) =>
      asIdentity(
        session,
        feedSettings(identity, entry.claims),
        async () => (await session.query(`select from ${name} where ${onKey(entry)}`, [...key])).rowCount === 1,
      ),
    )
    if (isVisible) return yes('row', `Postgres shows the row to ${identity.role}.`)
    return no('row', `Postgres does not show the row to ${identity.role}.`, sql)
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error
    return no('row', `Postgres refuses to show the row: ${error.message}.`, sql)
  }
}
