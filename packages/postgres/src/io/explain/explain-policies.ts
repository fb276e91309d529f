import type { WhyStep } from '@tidewire/protocol'
import type { Identity } from '@tidewire/server'
import pg from 'pg'
import type { CatalogRole } from '../../catalog/catalog-table.ts'
import { roleRefusal } from '../../catalog/role-rule.ts'
import { asIdentity, tried, tryAs, type IdentitySettings } from '../sessions/as-identity.ts'
import type { SessionPool } from '../sessions/session-pool.ts'

export interface Policy {
  readonly name: string
  readonly permissive: boolean
  /** As Postgres prints it; `null`: everything. */
  readonly using: string | null
}

export interface PolicyQuestion {
  readonly identity: Identity
  readonly schema: string
  readonly table: string
  readonly row: string
  readonly topic: string | null
  /** As the deciding code sets it. */
  readonly as: IdentitySettings
}

const MAX_EXPRESSION = 500

export function yes(check: WhyStep['check'], text: string): WhyStep {
  return { check, outcome: 'yes', text }
}

/** `sql`: what would change it, or shows it. */
export function no(check: WhyStep['check'], text: string, sql?: string): WhyStep {
  return { check, outcome: 'no', text, ...(sql === undefined ? {} : { sql }) }
}

export function roleStep(role: CatalogRole): WhyStep {
  const refusal = roleRefusal(role)
  if (refusal === null) return yes('privilege', `The role ${role.name} exists and may be taken.`)
  const name = pg.escapeIdentifier(role.name)
  return no('privilege', `${refusal}.`, role.exists ? `grant ${name} to tidewire_checker;` : `create role ${name} nologin;`)
}

export async function selectPolicies(session: pg.ClientBase, { schema, table, identity }: PolicyQuestion): Promise<readonly Policy[]> {
  const { rows } = await session.query<Policy>(
    `select p.polname as name, p.polpermissive as permissive, pg_catalog.pg_get_expr(p.polqual, p.polrelid) as using
     from pg_catalog.pg_policy p
     where p.polrelid = pg_catalog.to_regclass(pg_catalog.format('%I.%I', $1::text, $2::text)) and p.polcmd in ('r', '*')
       and exists (select from pg_catalog.unnest(p.polroles) r (oid)
         where r.oid = 0 or pg_catalog.pg_has_role($3::name, r.oid, 'MEMBER'))
     order by not p.polpermissive, p.polname`,
    [schema, table, identity.role],
  )
  return rows
}

/** What each policy says of the row to this identity. The row itself may be hidden from it. */
export async function explainPolicies(
  sessions: SessionPool,
  question: PolicyQuestion,
  policies: readonly Policy[],
): Promise<readonly WhyStep[]> {
  const { schema, table, identity, row, topic, as } = question
  const name = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`
  const from = `pg_catalog.jsonb_populate_record(null::${name}, $1::jsonb) as ${pg.escapeIdentifier(table)}`
  const results = await sessions.withSession((session) =>
    asIdentity(session, as, async () => {
      const found: (boolean | string | null)[] = []
      for (const { using } of policies) {
        const answer = await tried(session, () =>
          session.query<{ result: boolean | null }>(`select (${using ?? 'true'}) as result from ${from}`, [row]),
        )
        found.push(answer.ok ? answer.value.rows[0]!.result : answer.message)
      }
      return found
    }),
  )
  const isAllowed = policies.some(({ permissive }, at) => permissive && results[at] === true)
  return policies.map((policy, at) => policyStep(policy, results[at]!, isAllowed, tryAs(identity, topic, `select * from ${name}`)))
}

/** Postgres's answer for the row as a whole decides: a policy that it did not reach takes nothing away. */
export function overruled(steps: readonly WhyStep[], decisive: WhyStep): WhyStep[] {
  const agrees = ({ outcome }: WhyStep): WhyStep['outcome'] => (decisive.outcome === 'yes' && outcome === 'no' ? 'yes' : outcome)
  return [
    ...steps.map((step) =>
      agrees(step) === step.outcome ? step : { ...step, outcome: agrees(step), text: `${step.text} ${NOT_REACHED}` },
    ),
    decisive,
  ]
}

const NOT_REACHED = 'It is let through all the same: Postgres did not have to evaluate this one.'

function policyStep({ name, permissive, using }: Policy, result: boolean | string | null, isAllowed: boolean, sql: string): WhyStep {
  const expression = using === null ? 'true' : using.length > MAX_EXPRESSION ? `${using.slice(0, MAX_EXPRESSION)}…` : using
  const policy = `${permissive ? 'Policy' : 'Restrictive policy'} ${JSON.stringify(name)}`
  // One that fails takes the row away, whatever the others say.
  if (typeof result === 'string') return no('policy', `${policy} failed: ${result}. It is ${expression}.`, sql)
  if (result === true) return yes('policy', `${policy} lets it through: ${expression} is true.`)
  const text = `${policy} does not: ${expression} is ${result === null ? 'null' : 'false'}.`
  // Of the permissive ones, one that says yes is enough.
  return permissive && isAllowed ? yes('policy', `${text} Another one does.`) : no('policy', text, sql)
}
