import type pg from 'pg'
import type { RowCheck, VersionCheck } from '../../decide/feed-database.ts'
import { loadPolicyVersions, policyVersionSql } from '../catalog/policy-version.ts'
import { notVisibleSql, untilVisible } from './visibility.ts'

const VERSIONS_SQL = `
select ${notVisibleSql('$1::pg_catalog.int8[]')} as pending, array(
  select ${policyVersionSql({ tables: 'asked.tables::pg_catalog.oid[]', functions: 'asked.functions::pg_catalog.oid[]', groups: 'asked.groups::pg_catalog.oid[]' })}
  from rows from (pg_catalog.unnest($2::pg_catalog.text[]), pg_catalog.unnest($3::pg_catalog.text[]), pg_catalog.unnest($4::pg_catalog.text[]))
    with ordinality asked (tables, functions, groups, n) order by asked.n
) as versions`

/** Compares the policy versions of tables, in one statement and so in one snapshot, in which all of `xids` are visible. */
export async function checkVersions(session: pg.ClientBase, check: VersionCheck): Promise<boolean[]> {
  const { pairs, xids } = check
  const list = (oids: readonly number[]): string => `{${oids.join()}}`
  const query = {
    name: 'tidewire_versions',
    text: VERSIONS_SQL,
    values: [
      xids,
      pairs.map(({ table }) => list(table.reach.tables)),
      pairs.map(({ table }) => list(table.reach.functions)),
      pairs.map(({ table, role }) => list(table.roles.get(role)?.groups ?? [])),
    ],
  }
  let versions: readonly string[] = []
  await untilVisible(session, check, async () => {
    const { rows } = await session.query<{ pending: boolean; versions: string[] }>(query)
    versions = rows[0]!.versions
    return !rows[0]!.pending
  })
  return pairs.map(({ table, role }, index) => versions[index] === table.roles.get(role)?.version)
}

/** Whether the policy version is still that of the table. */
export async function isCurrent(session: pg.ClientBase, { table, role }: Pick<RowCheck, 'table' | 'role'>): Promise<boolean> {
  const [[loaded] = []] = await loadPolicyVersions(session, [{ reach: table.reach, roles: [role] }])
  return loaded?.version === table.roles.get(role)?.version
}
