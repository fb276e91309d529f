import type pg from 'pg'
import type { RowCheck, VersionCheck } from '../../decide/feed-database.ts'
import { policyVersionSql } from '../../catalog/policy-version.ts'
import { loadPolicyVersions } from '../catalog/policy-version.ts'
import { unseenSql, untilSeen } from './visibility.ts'

const VERSIONS_SQL = `
select ${unseenSql('$1::pg_catalog.int8[]')} as unseen, array(
  select ${policyVersionSql({ tables: 'asked.tables::pg_catalog.oid[]', functions: 'asked.functions::pg_catalog.oid[]', role: 'asked.role' })}
  from rows from (pg_catalog.unnest($2::pg_catalog.text[]), pg_catalog.unnest($3::pg_catalog.text[]), pg_catalog.unnest($4::pg_catalog.text[]))
    with ordinality asked (tables, functions, role, n) order by asked.n
) as versions`

/** Compares the policy versions of entries, in one statement and so in one snapshot, in which all of `xids` are visible. */
export async function checkVersions(session: pg.ClientBase, check: VersionCheck): Promise<boolean[]> {
  const { pairs, xids } = check
  const list = (oids: readonly number[]): string => `{${oids.join()}}`
  const query = {
    name: 'tidewire_versions',
    text: VERSIONS_SQL,
    values: [
      xids,
      pairs.map(({ entry }) => list(entry.reach.tables)),
      pairs.map(({ entry }) => list(entry.reach.functions)),
      pairs.map(({ role }) => role),
    ],
  }
  let versions: readonly string[] = []
  await untilSeen(session, check, async () => {
    const { rows } = await session.query<{ unseen: boolean; versions: string[] }>(query)
    versions = rows[0]!.versions
    return !rows[0]!.unseen
  })
  return pairs.map(({ entry, role }, index) => versions[index] === entry.roles.get(role)?.version)
}

/** Whether the policy version is still that of the entry. */
export async function isCurrent(session: pg.ClientBase, { entry, role }: Pick<RowCheck, 'entry' | 'role'>): Promise<boolean> {
  const [version] = await loadPolicyVersions(session, entry.reach, [role])
  return version === entry.roles.get(role)?.version
}
