import { walBoundSql } from '../start/wal-guard.ts'
import { byteText } from '../values.ts'
import type { Capacity, DatabaseFacts, OwnSlot, CheckedTable } from './facts.ts'

export interface Verdict {
  readonly level: 'ok' | 'warn' | 'fail'
  readonly detail: string
  /** Statements that mend it. */
  readonly sql?: readonly string[]
}

export interface CheckResult extends Verdict {
  readonly check: string
}

/** Says what is missing or risky, check by check. */
export function checkDatabase(facts: DatabaseFacts): CheckResult[] {
  return Object.entries(checks).map(([check, judge]) => ({ check, ...judge(facts) }))
}

const ok = (detail: string): Verdict => ({ level: 'ok', detail })
const warn = (detail: string, ...sql: string[]): Verdict => ({ level: 'warn', detail, sql })
const fail = (detail: string, ...sql: string[]): Verdict => ({ level: 'fail', detail, sql })

const checks: Readonly<Record<string, (facts: DatabaseFacts) => Verdict>> = {
  version: ({ version, isStandby }) => {
    if (isStandby) return fail('this is a standby: give the URL of the primary')
    if (version.number < 140_000) return fail(`Postgres ${version.text} is too old: 14 to 18 are supported`)
    if (version.number >= 190_000) return warn(`Postgres ${version.text} is newer than what is tested: 14 to 18`)
    return ok(`Postgres ${version.text}`)
  },
  'wal-level': ({ walLevel, isRds }) => {
    if (walLevel === 'logical') return ok('logical')
    if (isRds) return fail(`${walLevel}: set rds.logical_replication to 1 in the parameter group, then restart`)
    return fail(`${walLevel}: row changes need logical`, 'alter system set wal_level = logical; -- then restart Postgres')
  },
  'replication-slots': ({ slots, ownSlots }) => capacity('max_replication_slots', slots, ownSlots, hasAnchor(ownSlots) ? 0 : 1),
  'wal-senders': ({ senders, ownSlots }) => capacity('max_wal_senders', senders, ownSlots, 0),
  replication: ({ mayReplicate, replicationRefused, user, isRds }) => {
    if (!mayReplicate)
      return fail(
        `${user} may not replicate`,
        isRds ? `grant rds_replication to ${identifier(user)};` : `alter role ${identifier(user)} replication;`,
      )
    if (replicationRefused === null) return ok(`${user} may replicate`)
    return fail(`a replication connection is refused (${replicationRefused}): a pooler in between, or a line missing in pg_hba.conf`)
  },
  'create-privilege': ({ mayCreateInDatabase, user, database }) =>
    mayCreateInDatabase
      ? ok(`${user} may create schemas`)
      : fail(`${user} may not create schemas`, `grant create on database ${identifier(database)} to ${identifier(user)};`),
  roles: ({ roles, mayCreateRoles, user }) => {
    const missing = roles.filter(({ exists }) => !exists).map(({ name }) => name)
    const foreign = roles.filter(({ exists, isOurs }) => exists && !isOurs).map(({ name }) => name)
    if (missing.length > 0) return (mayCreateRoles ? warn : fail)(`missing: ${missing.join(', ')}`, ...missing.map(createRole))
    if (foreign.length > 0)
      return fail(`${user} may not act as ${foreign.join(', ')}`, `grant ${foreign.join(', ')} to ${identifier(user)};`)
    return ok(roles.map(({ name }) => name).join(', '))
  },
  publication: ({ publication, mayCreateInDatabase, version }) => {
    if (publication === null)
      return (mayCreateInDatabase ? warn : fail)(
        'supabase_realtime is missing',
        `create publication supabase_realtime${publishesGenerated(version) ? ` with (${GENERATED})` : ''};`,
      )
    const { leavesOut, tables } = publication
    if (leavesOut.length > 0)
      return warn(
        `supabase_realtime leaves out ${leavesOut.join(', ')}`,
        `alter publication supabase_realtime set (publish = 'insert, update, delete, truncate');`,
      )
    if (tables.length === 0)
      return warn(
        'supabase_realtime has no table, so no row change is delivered',
        'alter publication supabase_realtime add table public.todos; -- yours',
      )
    return ok(`supabase_realtime: ${tables.map(({ name }) => name).join(', ')}`)
  },
  'primary-keys': ({ publication }) => {
    const without = publication?.tables.filter(({ hasPrimaryKey }) => !hasPrimaryKey) ?? []
    const frozen = without.filter(({ replicaIdentity }) => replicaIdentity === 'd' || replicaIdentity === 'n')
    const sql = without.map(addPrimaryKey)
    if (frozen.length > 0)
      return fail(`none on ${namesOf(frozen)}: while published, Postgres refuses every update and delete there`, ...sql)
    if (without.length > 0) return warn(`none on ${namesOf(without)}: with Row Level Security its rows are not delivered`, ...sql)
    return ok('every published table has one')
  },
  'generated-columns': ({ publication, version }) => {
    if (publication === null || !publishesGenerated(version)) return ok('nothing stands in their way')
    const whole = publication.tables.filter(({ replicaIdentity }) => replicaIdentity === 'f')
    const virtual = whole.filter(({ generated }) => generated.includes('v'))
    const stored = publication.hasGenerated ? [] : whole.filter(({ generated }) => generated.includes('s') && !generated.includes('v'))
    if (virtual.length + stored.length === 0) return ok('nothing stands in their way')
    return fail(
      `with REPLICA IDENTITY FULL and generated columns that are not published, Postgres refuses every update and delete on ${namesOf([...stored, ...virtual])}`,
      ...(stored.length === 0 ? [] : [`alter publication supabase_realtime set (${GENERATED});`]),
      ...virtual.map(({ name }) => `alter table ${name} replica identity default;`),
    )
  },
  'row-level-security': ({ publication }) => {
    const open = publication?.tables.filter(({ hasRls }) => !hasRls) ?? []
    if (open.length === 0) return ok('on for every published table')
    return warn(
      `off on ${namesOf(open)}: every key whose role may select gets every row`,
      ...open.map(({ name }) => `alter table ${name} enable row level security;`),
    )
  },
  grants: ({ publication }) => {
    const hidden = publication?.tables.filter(({ isReadable }) => !isReadable) ?? []
    if (hidden.length === 0) return ok('every published table can be read by anon or authenticated')
    return warn(
      `neither anon nor authenticated may read ${namesOf(hidden)}`,
      ...hidden.map(({ name }) => `grant select on ${name} to authenticated;`),
    )
  },
  messages: ({ messages, mayCreateInDatabase }) => {
    if (messages === null)
      return (mayCreateInDatabase ? warn : fail)('realtime.messages is missing: `tidewire migrate`, or the start of a server, makes it')
    if (!messages.hasRls)
      return fail(
        'Row Level Security is off on realtime.messages: private channels are open',
        'alter table realtime.messages enable row level security;',
      )
    if (messages.isPartitioned && !messages.takesToday)
      return warn(
        'realtime.messages has no partition for today: realtime.send does nothing',
        'create table realtime.messages_default partition of realtime.messages default;',
        'alter table realtime.messages_default enable row level security;',
      )
    return ok(messages.policies === 0 ? 'no policies: all access to private channels is denied' : `policies: ${messages.policies}`)
  },
  'wal-bound': ({ maxSlotWalKeepMb, acceptsUnboundedWal }) => {
    if (maxSlotWalKeepMb !== -1) return ok(`max_slot_wal_keep_size is ${maxSlotWalKeepMb} MB`)
    const detail = 'max_slot_wal_keep_size is -1: an unread slot fills the disk'
    if (acceptsUnboundedWal) return warn(`${detail}; accepted by TIDEWIRE_ALLOW_UNBOUNDED_WAL`, walBoundSql)
    return fail(`${detail}, so \`tidewire start\` refuses this database`, walBoundSql)
  },
  'synchronous-commit': ({ synchronousCommit, walWriterDelayMs }) =>
    synchronousCommit === 'off' && walWriterDelayMs > 10
      ? warn(
          `synchronous_commit is off: a change waits for the WAL writer, up to ${walWriterDelayMs} ms`,
          "alter system set wal_writer_delay = '10ms'; select pg_reload_conf();",
        )
      : ok(synchronousCommit),
  'synchronous-standby': ({ synchronousStandbyNames }) =>
    synchronousStandbyNames.includes('*')
      ? warn(
          `synchronous_standby_names is ${synchronousStandbyNames}: commits would wait for Tidewire`,
          `alter system set synchronous_standby_names = 'your_standby'; select pg_reload_conf(); -- or ''`,
        )
      : ok('commits do not wait for Tidewire'),
  'own-slots': ({ ownSlots, oldestTransaction }) => {
    const anchors = ownSlots.filter(({ role }) => role === 'anchor')
    const nodes = ownSlots.flatMap(({ node, isActive }) => (node === null || !isActive ? [] : [node]))
    const lost = anchors.filter(({ lostBecause }) => lostBecause !== null)
    if (lost.length > 0)
      return warn(
        `lost: ${lost.map(({ name, lostBecause }) => `${name} (${lostBecause})`).join(', ')}; changes were missed`,
        ...lost.map(dropSlot),
      )
    const unread = anchors.filter(({ isActive }) => !isActive && nodes.length === 0)
    if (unread.length > 0) {
      const each = unread.map(({ name, retainedBytes }) => `${name} keeps ${byteText(retainedBytes)}`)
      return warn(`not read: ${each.join(', ')}; drop a slot whose server does not come back`, ...unread.map(dropSlot))
    }
    if (anchors.length > 1)
      return warn(`more than one: ${anchors.map(({ name }) => name).join(', ')}; the next server that starts keeps one`)
    const old = anchors.filter(({ catalogAge }) => catalogAge > MAX_CATALOG_AGE)
    if (old.length > 0)
      return warn(
        `${old[0]!.name} keeps vacuum from the catalog rows of the last ${old[0]!.catalogAge} transactions: a server is stuck, or a transaction is open for long`,
        'select pid, xact_start, state, query from pg_stat_activity where backend_xid is not null order by xact_start limit 5;',
      )
    const [anchor] = anchors
    if (anchor !== undefined && anchor.heldBytes > MAX_HELD_BYTES && oldestTransaction !== null)
      return warn(
        `${anchor.name} keeps ${byteText(anchor.retainedBytes)}, of which no server needs ${byteText(anchor.heldBytes)}: they are kept until a transaction ends (${oldestTransaction})`,
      )
    if (anchor === undefined) return ok(ownSlots.length === 0 ? 'none' : `temporary: ${ownSlots.map(({ name }) => name).join(', ')}`)
    const readers = nodes.length === 0 ? 'a server of version 0.1' : nodes.join(', ')
    const detail = `${anchor.name} keeps ${byteText(anchor.retainedBytes)}, ${anchor.catalogAge} transactions old, for ${readers}`
    return nodes.length > SENSIBLE_SERVERS
      ? warn(`${detail}: Postgres decodes its log once for each server, and about ${SENSIBLE_SERVERS} are sensible`)
      : ok(detail)
  },
  pooler: ({ host, port, saysPooler }) =>
    port === 6543 || saysPooler || /(^|[.-])(pooler|pgbouncer)([.-]|$)/.test(host)
      ? warn(`${host}:${port} looks like a pooler: give the URL of Postgres itself, mostly port 5432`)
      : ok('straight to Postgres'),
}

const GENERATED = 'publish_generated_columns = stored'

function publishesGenerated({ number }: DatabaseFacts['version']): boolean {
  return number >= 180_000
}

/** Each server needs a slot and a sender; the first also makes the anchor. */
function capacity(setting: string, { used, most }: Capacity, ownSlots: readonly OwnSlot[], forAnchor: number): Verdict {
  const room = Math.max(most - used - forAnchor, 0)
  const sql = `alter system set ${setting} = ${most + SENSIBLE_SERVERS}; -- then restart Postgres`
  if (room > 0) return ok(`${most - used} of ${most} free: room for ${room} more ${room === 1 ? 'server' : 'servers'}`)
  if (ownSlots.some(({ isActive }) => isActive))
    return warn(`all ${most} are taken: no further server can start, not even to replace one`, sql)
  return fail(used < most ? `${most - used} of ${most} free, and a server needs 2` : `all ${most} are taken`, sql)
}

function hasAnchor(ownSlots: readonly OwnSlot[]): boolean {
  return ownSlots.some(({ role }) => role === 'anchor')
}

function dropSlot({ name }: OwnSlot): string {
  return `select pg_drop_replication_slot('${name}');`
}

/** A walsender takes about 11 µs of CPU for each row and server. */
const SENSIBLE_SERVERS = 10
/** As much as the window may hold back. */
const MAX_HELD_BYTES = 256 * 1024 * 1024
const MAX_CATALOG_AGE = 100_000_000

function addPrimaryKey({ name, uniqueKey, hasId }: CheckedTable): string {
  if (uniqueKey !== null) return `alter table ${name} add primary key (${uniqueKey});`
  if (hasId) return `alter table ${name} add primary key (id); -- id must be unique and not null`
  return `alter table ${name} add column id bigint generated always as identity primary key;`
}

function createRole(name: string): string {
  return `create role ${name} nologin noinherit${name === 'service_role' ? ' bypassrls' : ''};`
}

function namesOf(tables: readonly { readonly name: string }[]): string {
  return tables.map(({ name }) => name).join(', ')
}

function identifier(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`
}
