import type { WhyStep } from '@tidewire/protocol'
import type { Authorizer, ExplainTopic } from '@tidewire/server'
import pg from 'pg'
import { authorizerSettings, tryAs } from '../sessions/as-identity.ts'
import type { SessionPool } from '../sessions/session-pool.ts'
import type { ExplainChangeContext } from './explain-change.ts'
import { explainPolicies, no, overruled, roleStep, selectPolicies, yes } from './explain-policies.ts'

/** Why an identity may or may not receive on a private topic: its role, its grants, the policies one by one, and the probe itself. */
export async function explainTopic(
  { sessions, database }: Pick<ExplainChangeContext, 'sessions' | 'database'>,
  authorizer: Authorizer,
  request: ExplainTopic,
): Promise<readonly WhyStep[]> {
  const { subTopic, identity } = request
  const { isolated, catalog } = await sessions()
  const role = await database.role(identity.role)
  const steps = [roleStep(role)]
  if (steps[0]!.outcome === 'no') return steps
  steps.push(await grantStep(catalog, identity.role))
  if (steps[1]!.outcome === 'no') return steps
  const row = JSON.stringify({ topic: subTopic, extension: 'broadcast', private: true })
  const as = authorizerSettings(identity, subTopic)
  const question = { identity, schema: 'realtime', table: 'messages', row, topic: subTopic, as }
  const policies = await catalog.withSession((session) => selectPolicies(session, question))
  const found = role.bypassesRowSecurity
    ? [yes('policy', `Policies do not count for ${identity.role}.`)]
    : policies.length === 0
      ? [noPolicyStep(identity.role)]
      : await explainPolicies(isolated, question, policies)
  return [...steps, ...overruled(found, await probeStep(authorizer, request))]
}

async function probeStep(authorizer: Authorizer, request: ExplainTopic): Promise<WhyStep> {
  const [read, write] = await Promise.all([authorizer.read(request), authorizer.write(request)])
  if (!read.ok) return { check: 'policy', outcome: 'unknown', text: `The probe had no answer: ${read.reason}.` }
  const mayReceive = read.broadcast || read.presence
  const receiving = `The probe says: ${may('receive', read)}${write.ok ? `, ${may('send', write)}` : ''}.`
  if (mayReceive) return yes('policy', receiving)
  const because = read.detail === undefined ? '' : ` In words: ${read.detail}.`
  const sql = tryAs(request.identity, request.subTopic, 'select * from realtime.messages')
  return no('policy', receiving + because, sql)
}

function may(what: string, { broadcast, presence }: { readonly broadcast: boolean; readonly presence: boolean }): string {
  const which = [...(broadcast ? ['broadcasts'] : []), ...(presence ? ['presence'] : [])]
  return which.length === 0 ? `it may ${what} nothing` : `it may ${what} ${which.join(' and ')}`
}

async function grantStep(catalog: SessionPool, role: string): Promise<WhyStep> {
  const { rows } = await catalog.withSession((session) =>
    session.query<{ usage: boolean; reads: boolean; writes: boolean }>(
      `select pg_catalog.has_schema_privilege($1::name, 'realtime', 'USAGE') as usage, pg_catalog.has_table_privilege($1::name, 'realtime.messages', 'SELECT') as reads,
         pg_catalog.has_table_privilege($1::name, 'realtime.messages', 'INSERT') as writes`,
      [role],
    ),
  )
  const { usage, reads, writes } = rows[0]!
  const name = pg.escapeIdentifier(role)
  if (!usage) return no('privilege', `${role} lacks USAGE on the schema realtime.`, `grant usage on schema realtime to ${name};`)
  if (!reads) return no('privilege', `${role} lacks SELECT on realtime.messages.`, `grant select on realtime.messages to ${name};`)
  return yes('privilege', `${role} has SELECT${writes ? ' and INSERT' : ', but no INSERT (it cannot send),'} on realtime.messages.`)
}

function noPolicyStep(role: string): WhyStep {
  return no(
    'policy',
    `There is no SELECT policy on realtime.messages for ${role}: this role may not join a private topic.`,
    `create policy "may join" on realtime.messages for select to ${pg.escapeIdentifier(role)}\n  using (realtime.topic() = 'the name of the topic');`,
  )
}
