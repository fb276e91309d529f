import { formatLsn, parseLsn } from '../../replication/lsn.ts'
import type { LoggedRelation, PublishedRelation, PublishedRelations } from '../../replication/published-relations.ts'
import type { ReplicationCheck } from '../../replication/replication-port.ts'
import type { Queryable } from '../../catalog/queryable.ts'
import { publishedSql } from '../catalog/published-sql.ts'
import { serverVersion } from './publication.ts'
import { currentLsn } from './slot.ts'

export interface PublishedTarget {
  readonly publications: readonly { readonly name: string }[]
  readonly anchor: string | null
  readonly isNewSlot: boolean
}

/** Reads what the publications publish, and returns the tables of which changes may be missing. The database remembers it for other nodes. */
export async function readPublished(
  session: Queryable,
  published: PublishedRelations,
  target: PublishedTarget,
): Promise<Omit<ReplicationCheck, 'peers'>> {
  const names = target.publications.map(({ name }) => name)
  let relations = await readPublishedRelations(session, names, target.anchor)
  if (published.isSame(relations)) return { gaps: [], serverLsn: await currentLsn(session) }
  // Functions of the catalog see what was committed since the statement began: one that was committed in that moment is read in part.
  for (let reads = 0; reads < MAX_READS; reads++) {
    const again = await readPublishedRelations(session, names, target.anchor)
    const isSettled = JSON.stringify(again) === JSON.stringify(relations)
    relations = again
    if (isSettled) break
  }
  const serverLsn = await currentLsn(session)
  const log = await readLog(session)
  const { gaps, writes } = published.compare({ relations, serverLsn, isNewSlot: target.isNewSlot }, log ?? [])
  if (log !== null && writes.length > 0) await writeLog(session, writes)
  return { gaps, serverLsn }
}

const MAX_READS = 5

/** `null`: `migrate` has not prepared the database, or the login may not use what it made; then nothing is remembered. */
async function readLog(session: Queryable): Promise<LoggedRelation[] | null> {
  const usable = await session.query(
    `select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'tidewire' and c.relname = 'published_relations' and has_schema_privilege(n.oid, 'USAGE')
       and has_table_privilege(c.oid, 'SELECT') and has_table_privilege(c.oid, 'INSERT') and has_table_privilege(c.oid, 'UPDATE')`,
  )
  if (usable.rows.length === 0) return null
  const { rows } = await session.query(
    'select relation::int8::float8 as oid, version, gap_before::text as "gapBefore" from tidewire.published_relations',
  )
  return (rows as { oid: number; version: string; gapBefore: string | null }[]).map((row) => ({
    ...row,
    gapBefore: parseLsn(row.gapBefore),
  }))
}

/** Another node may have written the same a moment ago: the earlier end of the gap is as true. */
async function writeLog(session: Queryable, relations: readonly LoggedRelation[]): Promise<void> {
  await session.query(
    `insert into tidewire.published_relations as known (relation, version, gap_before)
     select * from unnest($1::oid[], $2::text[], $3::text[]::pg_lsn[]) order by 1
     on conflict (relation) do update set version = excluded.version, gap_before = excluded.gap_before
       where known.version <> excluded.version`,
    [
      relations.map(({ oid }) => oid),
      relations.map(({ version }) => version),
      relations.map(({ gapBefore }) => (gapBefore === null ? null : formatLsn(gapBefore))),
    ],
  )
}

/**
 * What the publications publish, by the relation that is written to. `anchor` is the slot that holds the window: entries
 * that its oldest transaction may not have seen are `recent`.
 */
async function readPublishedRelations(
  session: Queryable,
  publications: readonly string[],
  anchor: string | null,
): Promise<PublishedRelation[]> {
  const { rows } = await session.query(relationsSql((await serverVersion(session)) >= 150_000), [publications, anchor])
  return rows as PublishedRelation[]
}

// `xmin` is the transaction that wrote an entry. A row that was taken out and put back is another one, under another transaction.
function relationsSql(hasSchemas: boolean): string {
  return `
with recursive published as (
  select t.pub, p.xmin as written, t.relid
  from ${publishedSql('$1', hasSchemas)} t join pg_catalog.pg_publication p on p.oid = t.pub
), tree as (
  select pub, written, relid as delivered, relid as oid from published
  union
  select tree.pub, tree.written, tree.delivered, i.inhrelid
  from tree join pg_catalog.pg_inherits i on i.inhparent = tree.oid join pg_catalog.pg_class c on c.oid = i.inhrelid and c.relispartition
), leaf as (
  select tree.* from tree left join pg_catalog.pg_class c on c.oid = tree.oid and c.relkind = 'p'
  where c.oid is null or (tree.oid = tree.delivered and not exists (
    select from tree part join pg_catalog.pg_class p on p.oid = part.oid and p.relkind <> 'p' where part.delivered = tree.delivered))
), chain as (
  select pub, oid, oid as member from leaf
  union
  select leaf.pub, leaf.oid, a.relid::oid
  from leaf join pg_catalog.pg_class c on c.oid = leaf.oid and c.relispartition
  cross join lateral pg_catalog.pg_partition_ancestors(leaf.oid) a
), entry as (
  select oid, 'publication ' || pub as name, written from leaf
  union
  select chain.oid, 'table ' || r.oid, r.xmin
  from chain join pg_catalog.pg_publication_rel r on r.prpubid = chain.pub and r.prrelid = chain.member
  union
  select chain.oid, 'partition ' || i.inhrelid || ' ' || i.inhparent, i.xmin
  from chain join pg_catalog.pg_inherits i on i.inhrelid = chain.member
  join pg_catalog.pg_class c on c.oid = chain.member and c.relispartition
  ${
    hasSchemas
      ? `union
  select chain.oid, 'schema ' || n.oid, n.xmin
  from chain join pg_catalog.pg_class c on c.oid = chain.member
  join pg_catalog.pg_publication_namespace n on n.pnpubid = chain.pub and n.pnnspid = c.relnamespace`
      : ''
  }
), made as (
  select chain.oid, a.xmin as written
  from chain join pg_catalog.pg_attribute a on a.attrelid = chain.member and a.attnum = -1
), anchor as (
  select pg_catalog.age(catalog_xmin) as age from pg_catalog.pg_replication_slots where slot_name = $2
)
select entry.oid::int8::float8 as oid, root.delivered as "deliveredAs",
  pg_catalog.md5(pg_catalog.string_agg(entry.name || ' ' || entry.written::text, ',' order by entry.name)) as version,
  coalesce(bool_or(made.oid is null and pg_catalog.age(entry.written) between 0 and (select age from anchor)), false) as recent
from entry
join (select oid, pg_catalog.array_agg(distinct delivered::int8::float8) as delivered from leaf group by oid) root on root.oid = entry.oid
left join (select distinct oid, written from made) made on made.oid = entry.oid and made.written = entry.written
group by entry.oid, root.delivered
order by 1`
}
