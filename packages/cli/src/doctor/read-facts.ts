import type { DatabasePool, Queryable } from '@tidewire/postgres'
import { withDatabase } from '../database-session.ts'
import type { DatabaseFacts, MessagesFacts, PublicationFacts, RoleFacts } from './facts.ts'

/** Reads the facts of a database without changing it. Throws a Failure when there is no connection. */
export async function readFacts(url: string, acceptsUnboundedWal: boolean): Promise<DatabaseFacts> {
  const { listSlots, oldestTransaction, transactionText } = await import('@tidewire/postgres')
  const { hostname, port, searchParams } = new URL(url)
  const found = await withDatabase(url, async (session) => ({
    ...(await one<ServerRow>(session, SERVER)),
    roles: (await session.query(ROLES)).rows as RoleFacts[],
    publication: await publicationFacts(session),
    messages: await messagesFacts(session),
    ownSlots: await listSlots(session, 'tidewire'),
    oldest: await oldestTransaction(session),
  }))
  const { versionText, versionNumber, slotsUsed, slotsMost, sendersUsed, sendersMost, ownSlots, oldest, ...plain } = found
  return {
    ...plain,
    acceptsUnboundedWal,
    host: hostname,
    port: port === '' ? 5432 : Number(port),
    saysPooler: searchParams.get('pgbouncer') === 'true',
    replicationRefused: await tryReplication(url),
    version: { text: versionText, number: versionNumber },
    slots: { used: slotsUsed, most: slotsMost },
    senders: { used: sendersUsed, most: sendersMost },
    ownSlots: ownSlots.map(({ activePid, confirmedLsn, restartLsn, ...slot }) => ({
      ...slot,
      isActive: activePid !== null,
      heldBytes: confirmedLsn === null || restartLsn === null ? 0 : Number(confirmedLsn - restartLsn),
    })),
    oldestTransaction: oldest === null ? null : transactionText(oldest),
  }
}

interface ServerRow extends Pick<
  DatabaseFacts,
  | 'isStandby'
  | 'isRds'
  | 'user'
  | 'database'
  | 'mayReplicate'
  | 'mayCreateInDatabase'
  | 'mayCreateRoles'
  | 'walLevel'
  | 'maxSlotWalKeepMb'
  | 'synchronousStandbyNames'
  | 'synchronousCommit'
  | 'walWriterDelayMs'
> {
  readonly versionText: string
  readonly versionNumber: number
  readonly slotsUsed: number
  readonly slotsMost: number
  readonly sendersUsed: number
  readonly sendersMost: number
}

const SERVER = `
select current_setting('server_version') as "versionText", current_setting('server_version_num')::int as "versionNumber",
  pg_is_in_recovery() as "isStandby", to_regrole('rds_superuser') is not null as "isRds", current_user as "user", current_database() as "database",
  r.rolsuper or r.rolreplication
    or exists (select from pg_roles x where x.rolname = 'rds_replication' and pg_has_role(current_user, x.oid, 'MEMBER')) as "mayReplicate",
  has_database_privilege(current_database(), 'CREATE') as "mayCreateInDatabase", r.rolsuper or r.rolcreaterole as "mayCreateRoles",
  current_setting('wal_level') as "walLevel",
  (select setting::int from pg_settings where name = 'max_slot_wal_keep_size') as "maxSlotWalKeepMb",
  current_setting('synchronous_standby_names') as "synchronousStandbyNames",
  current_setting('synchronous_commit') as "synchronousCommit",
  (select setting::int from pg_settings where name = 'wal_writer_delay') as "walWriterDelayMs",
  (select count(*)::int from pg_replication_slots) as "slotsUsed", current_setting('max_replication_slots')::int as "slotsMost",
  (select count(*)::int from pg_stat_replication) as "sendersUsed", current_setting('max_wal_senders')::int as "sendersMost"
from pg_roles r where r.rolname = current_user`

// From version 16 on, membership may come without the right to SET ROLE.
const ROLES = `
select n as name, r.oid is not null as exists,
  coalesce(pg_has_role(current_user, r.oid, case when current_setting('server_version_num')::int >= 160000 then 'SET' else 'MEMBER' end), false) as "isOurs"
from unnest(array['anon', 'authenticated', 'service_role']) with ordinality as names(n, i) left join pg_roles r on r.rolname = n order by i`

async function publicationFacts(session: Queryable): Promise<PublicationFacts | null> {
  const [publication] = (
    await session.query(
      `select coalesce(to_jsonb(p)->>'pubgencols' = 's', false) as "hasGenerated", array_remove(array[case when not pubinsert then 'insert' end, case when not pubupdate then 'update' end,
         case when not pubdelete then 'delete' end], null) as "leavesOut" from pg_publication p where pubname = 'supabase_realtime'`,
    )
  ).rows as Omit<PublicationFacts, 'tables'>[]
  if (publication === undefined) return null
  const { rows } = await session.query(TABLES)
  return { ...publication, tables: rows as PublicationFacts['tables'] }
}

const TABLES = `
select format('%I.%I', t.schemaname, t.tablename) as name, c.relreplident as "replicaIdentity", c.relrowsecurity as "hasRls",
  exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary) as "hasPrimaryKey",
  (select string_agg(quote_ident(a.attname), ', ' order by k.place) from (
      select i.indkey from pg_index i where i.indrelid = c.oid and i.indisunique and i.indimmediate and i.indpred is null
        and not exists (select from unnest(i.indkey[0:i.indnkeyatts - 1]) k left join pg_attribute a on a.attrelid = c.oid and a.attnum = k
          where k = 0 or not a.attnotnull)
      order by i.indnkeyatts, i.indexrelid limit 1) i,
    unnest(i.indkey) with ordinality as k(attnum, place) join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum) as "uniqueKey",
  exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'id' and not a.attisdropped) as "hasId",
  array(select distinct attgenerated::text from pg_attribute a where a.attrelid = c.oid and attgenerated <> '' and not attisdropped) as generated,
  exists (select from pg_roles r where r.rolname in ('anon', 'authenticated')
    and has_schema_privilege(r.oid, n.oid, 'USAGE') and has_any_column_privilege(r.oid, c.oid, 'SELECT')) as "isReadable"
from pg_publication_tables t join pg_namespace n on n.nspname = t.schemaname
  join pg_class c on c.relnamespace = n.oid and c.relname = t.tablename
where t.pubname = 'supabase_realtime' and t.schemaname not in ('realtime', 'tidewire') order by 1`

async function messagesFacts(session: Queryable): Promise<MessagesFacts | null> {
  const { rows } = await session.query(
    `select c.relrowsecurity as "hasRls", c.relkind = 'p' as "isPartitioned",
       (select count(*)::int from pg_policy p where p.polrelid = c.oid) as policies,
       c.relkind <> 'p' or exists (
         select from pg_inherits i join pg_class part on part.oid = i.inhrelid,
           lateral (select pg_get_expr(part.relpartbound, part.oid) as bound) b,
           lateral (select regexp_match(bound, $re$FROM \\('([^']+)'\\) TO \\('([^']+)'\\)$re$) as ends) e
         where i.inhparent = c.oid and (bound = 'DEFAULT'
           or now() at time zone 'utc' >= (ends)[1]::timestamp and now() at time zone 'utc' < (ends)[2]::timestamp)) as "takesToday"
     from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'realtime' and c.relname = 'messages'`,
  )
  return (rows as MessagesFacts[])[0] ?? null
}

/** Tries a replication connection: `pg_hba.conf` or a pooler may refuse what privileges allow. */
async function tryReplication(url: string): Promise<string | null> {
  const { databasePool } = await import('@tidewire/postgres')
  const asReplica = new URL(url)
  asReplica.searchParams.set('replication', 'database')
  const pool = databasePool({ url: asReplica.href, maxConnections: 1, connectTimeoutMs: 5_000 })
  try {
    await pool.query('IDENTIFY_SYSTEM')
    return null
  } catch (error) {
    return error instanceof Error && error.message !== '' ? error.message : 'no connection'
  } finally {
    await pool.close()
  }
}

async function one<Row>(session: DatabasePool, sql: string): Promise<Row> {
  return (await session.query(sql)).rows[0] as Row
}
