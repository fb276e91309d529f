import type { KeyColumn } from '@tidewire/protocol'
import type { ExplainedTable } from '@tidewire/server'
import pg from 'pg'
import { databaseReason } from '../../catalog/database-fault.ts'
import type { SessionsWhenOpen } from '../sessions/feed-sessions.ts'

/** One row for a table without a primary key, none where there is no table. */
const KEY_SQL = `
select a.attname as name, pg_catalog.format_type(a.atttypid, a.atttypmod) as type
from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  left join pg_catalog.pg_index i on i.indrelid = c.oid and i.indisprimary
  left join lateral pg_catalog.unnest(i.indkey::int2[]) with ordinality k (number, at) on true
  left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.number
where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p')
order by k.at`

/** Which columns find a row of a table. Never rejects. */
export async function explainTable(sessions: SessionsWhenOpen, schema: string, table: string): Promise<ExplainedTable> {
  try {
    const { catalog } = await sessions()
    const { rows } = await catalog.withSession((session) => session.query<KeyColumn | { name: null }>(KEY_SQL, [schema, table]))
    if (rows.length === 0)
      return { ok: false, reason: `UnknownTable: there is no table ${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}` }
    return { ok: true, answer: { primaryKey: rows.filter((row): row is KeyColumn => row.name !== null) } }
  } catch (error) {
    return { ok: false, reason: databaseReason(error) }
  }
}
