import type pg from 'pg'
import { getOrMake } from '../../catalog/multimap.ts'
import type { RowCheck } from '../../decide/feed-database.ts'

/** By session, the policy version under which the plans of a check were made. */
const versions = new WeakMap<pg.ClientBase, Map<string, string | undefined>>()

/**
 * Postgres keeps the policies that it chose for a role in its plans, and chooses again when the table changes, but not when the
 * role gains or loses a membership or an attribute: plans that were made under another policy version are discarded. `name` is the check's.
 */
export async function discardOldPlans(session: pg.ClientBase, name: string, { table, role }: RowCheck): Promise<void> {
  const known = getOrMake(versions, session, () => new Map<string, string | undefined>())
  const version = table.roles.get(role)?.version
  if (known.has(name) && known.get(name) !== version) {
    await session.query('discard plans')
    known.clear()
  }
  known.set(name, version)
}

/** The policy version changed. The next check discards the plans. */
export function distrustPlans(session: pg.ClientBase, name: string): void {
  versions.get(session)?.set(name, undefined)
}
