import type { WhyStep } from '@tidewire/protocol'
import pg from 'pg'
import { loadRoles } from '../catalog/feed-catalog.ts'
import type { SessionPool } from '../sessions/session-pool.ts'

export interface ExplainedRole {
  readonly usable: boolean
  readonly bypassesRowSecurity: boolean
  readonly steps: readonly WhyStep[]
}

/** Whether there is such a role and tokens may take it. */
export async function explainRole(checker: SessionPool, name: string): Promise<ExplainedRole> {
  const role = (await checker.withSession((session) => loadRoles(session, [name])))[0]!
  const { bypassesRowSecurity } = role
  const no = (text: string, sql: string): ExplainedRole => ({
    usable: false,
    bypassesRowSecurity,
    steps: [{ check: 'privilege', outcome: 'no', text, sql }],
  })
  if (!role.exists)
    return no(`There is no role ${JSON.stringify(name)} in the database.`, `create role ${pg.escapeIdentifier(name)} nologin;`)
  if (!role.allowed)
    return no(
      `Tokens may not take the role ${JSON.stringify(name)}: it is a superuser, the server's own, or not granted to it.`,
      `grant ${pg.escapeIdentifier(name)} to tidewire_checker;`,
    )
  return {
    usable: true,
    bypassesRowSecurity,
    steps: [{ check: 'privilege', outcome: 'yes', text: `The role ${name} exists and may be taken.` }],
  }
}
