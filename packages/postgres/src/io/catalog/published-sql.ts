/**
 * SQL of a subquery with `pub` and `relid`: the tables that the publications `names` (SQL of an array) publish. It equals
 * `pg_get_publication_tables`, but reads rows of the catalog. That function opens every table, and so waits for a table that is locked.
 */
export function publishedSql(names: string, hasSchemas: boolean): string {
  return `(
  with recursive pubs as (
    select p.oid, p.puballtables, p.pubviaroot from pg_catalog.pg_publication p where p.pubname = any(${names})
  ), named (pub, relid) as (
    select pubs.oid, r.prrelid from pubs join pg_catalog.pg_publication_rel r on r.prpubid = pubs.oid
    union
    select pubs.oid, c.oid from pubs join pg_catalog.pg_class c on ${
      hasSchemas
        ? `pubs.puballtables or exists (
      select from pg_catalog.pg_publication_namespace n where n.pnpubid = pubs.oid and n.pnnspid = c.relnamespace)`
        : 'pubs.puballtables'
    }
    where c.relkind in ('r', 'p') and c.relpersistence = 'p' and c.oid >= 16384
  ), below (pub, relid) as (
    select named.pub, i.inhrelid from named join pg_catalog.pg_inherits i on i.inhparent = named.relid
      join pg_catalog.pg_class c on c.oid = i.inhrelid and c.relispartition
    union
    select below.pub, i.inhrelid from below join pg_catalog.pg_inherits i on i.inhparent = below.relid
  )
  select pubs.oid as pub, t.relid from pubs cross join lateral (
    select named.relid from named where named.pub = pubs.oid and (not pubs.pubviaroot or not exists (
      select from below where below.pub = pubs.oid and below.relid = named.relid))
    union
    select below.relid from below where below.pub = pubs.oid and not pubs.pubviaroot
  ) t join pg_catalog.pg_class c on c.oid = t.relid
  where pubs.pubviaroot or c.relkind <> 'p'
)`
}
