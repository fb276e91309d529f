import { expect, test } from 'vitest'
import { checkDatabase, type CheckResult } from './checks.ts'
import type { DatabaseFacts, OwnSlot, CheckedTable } from './facts.ts'

const table: CheckedTable = {
  name: 'public.todos',
  hasPrimaryKey: true,
  uniqueKey: 'id',
  hasId: true,
  replicaIdentity: 'd',
  hasRls: true,
  generated: [],
  isReadable: true,
}
const anchor: OwnSlot = {
  name: 'tidewire_0123abcd',
  role: 'anchor',
  node: null,
  isActive: false,
  lostBecause: null,
  retainedBytes: 1_048_576,
  heldBytes: 0,
  catalogAge: 12,
}
const copy: OwnSlot = { ...anchor, name: 'tidewire_n_web_1_abcdef', role: 'copy', node: 'web_1', isActive: true }
const healthy: DatabaseFacts = {
  host: 'db.example',
  port: 5432,
  saysPooler: false,
  replicationRefused: null,
  version: { text: '17.5', number: 170_005 },
  isStandby: false,
  isRds: false,
  user: 'postgres',
  database: 'app',
  mayReplicate: true,
  mayCreateInDatabase: true,
  mayCreateRoles: true,
  walLevel: 'logical',
  slots: { used: 1, most: 10 },
  senders: { used: 1, most: 10 },
  maxSlotWalKeepMb: 1024,
  acceptsUnboundedWal: false,
  synchronousStandbyNames: '',
  synchronousCommit: 'on',
  walWriterDelayMs: 200,
  roles: ['anon', 'authenticated', 'service_role'].map((name) => ({ name, exists: true, isOurs: true })),
  publication: { leavesOut: [], hasGenerated: false, tables: [table] },
  messages: { hasRls: true, isPartitioned: true, takesToday: true, policies: 2 },
  ownSlots: [anchor, copy],
  oldestTransaction: 'process 4711 of database app, open for 12 minutes',
}

test('a healthy database', () => {
  expect(checkDatabase(healthy).filter(({ level }) => level !== 'ok')).toEqual([])
})

const withTable = (change: Partial<CheckedTable>): Partial<DatabaseFacts> => ({
  publication: { leavesOut: [], hasGenerated: false, tables: [table, { ...table, name: 'public."Odd"', ...change }] },
})
const withRole = (change: object): Partial<DatabaseFacts> => ({
  roles: healthy.roles.map((role) => (role.name === 'service_role' ? { ...role, ...change } : role)),
})

test.each<[Partial<DatabaseFacts>, string, CheckResult['level'], RegExp, string[]]>([
  [{ isStandby: true }, 'version', 'fail', /standby/, []],
  [{ version: { text: '13.9', number: 130_009 } }, 'version', 'fail', /13\.9 is too old/, []],
  [{ version: { text: '19.0', number: 190_000 } }, 'version', 'warn', /newer/, []],
  [{ walLevel: 'replica' }, 'wal-level', 'fail', /replica/, ['alter system set wal_level = logical; -- then restart Postgres']],
  [{ walLevel: 'replica', isRds: true }, 'wal-level', 'fail', /rds\.logical_replication/, []],
  [
    { ownSlots: [{ ...anchor, retainedBytes: 600 * 1_048_576, heldBytes: 512 * 1_048_576 }, copy] },
    'own-slots',
    'warn',
    /keeps 600\.0 MB, of which no server needs 512\.0 MB.*until a transaction ends \(process 4711 of database app, open for 12 minutes\)/,
    [],
  ],
  [
    { slots: { used: 10, most: 10 }, ownSlots: [] },
    'replication-slots',
    'fail',
    /all 10/,
    ['alter system set max_replication_slots = 20; -- then restart Postgres'],
  ],
  [
    { senders: { used: 3, most: 3 }, ownSlots: [] },
    'wal-senders',
    'fail',
    /all 3/,
    ['alter system set max_wal_senders = 13; -- then restart Postgres'],
  ],
  [{ mayReplicate: false, user: 'My App' }, 'replication', 'fail', /may not replicate/, ['alter role "My App" replication;']],
  [{ mayReplicate: false, isRds: true }, 'replication', 'fail', /may not/, ['grant rds_replication to postgres;']],
  [{ replicationRefused: 'no pg_hba.conf entry' }, 'replication', 'fail', /no pg_hba\.conf entry/, []],
  [
    { mayCreateInDatabase: false, database: 'a"b' },
    'create-privilege',
    'fail',
    /may not create/,
    ['grant create on database "a""b" to postgres;'],
  ],
  [withRole({ exists: false }), 'roles', 'warn', /missing: service_role/, ['create role service_role nologin noinherit bypassrls;']],
  [
    { ...withRole({ exists: false }), mayCreateRoles: false },
    'roles',
    'fail',
    /missing/,
    ['create role service_role nologin noinherit bypassrls;'],
  ],
  [withRole({ isOurs: false }), 'roles', 'fail', /may not act as service_role/, ['grant service_role to postgres;']],
  [{ publication: null }, 'publication', 'warn', /missing/, ['create publication supabase_realtime;']],
  [{ publication: null, mayCreateInDatabase: false }, 'publication', 'fail', /missing/, ['create publication supabase_realtime;']],
  [
    { publication: null, version: { text: '18.0', number: 180_000 } },
    'publication',
    'warn',
    /missing/,
    ['create publication supabase_realtime with (publish_generated_columns = stored);'],
  ],
  [
    { version: { text: '18.0', number: 180_000 }, ...withTable({ replicaIdentity: 'f', generated: ['s'] }) },
    'generated-columns',
    'fail',
    /refuses .* on public\."Odd"$/,
    ['alter publication supabase_realtime set (publish_generated_columns = stored);'],
  ],
  [
    { version: { text: '18.0', number: 180_000 }, ...withTable({ replicaIdentity: 'f', generated: ['s', 'v'] }) },
    'generated-columns',
    'fail',
    /refuses .* on public\."Odd"$/,
    ['alter table public."Odd" replica identity default;'],
  ],
  [
    { publication: { leavesOut: ['delete'], hasGenerated: true, tables: [] } },
    'publication',
    'warn',
    /leaves out delete/,
    [`alter publication supabase_realtime set (publish = 'insert, update, delete, truncate');`],
  ],
  [
    { publication: { leavesOut: [], hasGenerated: true, tables: [] } },
    'publication',
    'warn',
    /no table/,
    ['alter publication supabase_realtime add table public.todos; -- yours'],
  ],
  [
    withTable({ hasPrimaryKey: false, uniqueKey: 'a, "B"' }),
    'primary-keys',
    'fail',
    /none on public\."Odd": .*refuses/,
    ['alter table public."Odd" add primary key (a, "B");'],
  ],
  [
    withTable({ hasPrimaryKey: false, uniqueKey: null }),
    'primary-keys',
    'fail',
    /none on public\."Odd": .*refuses/,
    ['alter table public."Odd" add primary key (id); -- id must be unique and not null'],
  ],
  [
    withTable({ hasPrimaryKey: false, uniqueKey: null, hasId: false, replicaIdentity: 'f' }),
    'primary-keys',
    'warn',
    /not delivered/,
    ['alter table public."Odd" add column id bigint generated always as identity primary key;'],
  ],
  [
    withTable({ hasRls: false }),
    'row-level-security',
    'warn',
    /off on public\."Odd":/,
    ['alter table public."Odd" enable row level security;'],
  ],
  [withTable({ isReadable: false }), 'grants', 'warn', /public\."Odd"/, ['grant select on public."Odd" to authenticated;']],
  [{ messages: null }, 'messages', 'warn', /missing/, []],
  [{ messages: null, mayCreateInDatabase: false }, 'messages', 'fail', /missing/, []],
  [
    { messages: { ...healthy.messages!, hasRls: false } },
    'messages',
    'fail',
    /channels are open/,
    ['alter table realtime.messages enable row level security;'],
  ],
  [
    { messages: { ...healthy.messages!, takesToday: false } },
    'messages',
    'warn',
    /no partition for today/,
    [
      'create table realtime.messages_default partition of realtime.messages default;',
      'alter table realtime.messages_default enable row level security;',
    ],
  ],
  [
    { synchronousCommit: 'off' },
    'synchronous-commit',
    'warn',
    /up to 200 ms/,
    ["alter system set wal_writer_delay = '10ms'; select pg_reload_conf();"],
  ],
  [
    { maxSlotWalKeepMb: -1, acceptsUnboundedWal: true },
    'wal-bound',
    'warn',
    /accepted/,
    ["alter system set max_slot_wal_keep_size = '4GB'; select pg_reload_conf();"],
  ],
  [{ maxSlotWalKeepMb: -1 }, 'wal-bound', 'fail', /is -1/, ["alter system set max_slot_wal_keep_size = '4GB'; select pg_reload_conf();"]],
  [
    { synchronousStandbyNames: 'ANY 1 (*)' },
    'synchronous-standby',
    'warn',
    /commits would wait/,
    [`alter system set synchronous_standby_names = 'your_standby'; select pg_reload_conf(); -- or ''`],
  ],
  [
    { ownSlots: [{ ...anchor, retainedBytes: 16 * 1024 * 1024 }] },
    'own-slots',
    'warn',
    /tidewire_0123abcd keeps 16\.0 MB/,
    [`select pg_drop_replication_slot('tidewire_0123abcd');`],
  ],
  [
    { ownSlots: [{ ...anchor, lostBecause: 'wal_removed' }, copy] },
    'own-slots',
    'warn',
    /lost: tidewire_0123abcd \(wal_removed\)/,
    [`select pg_drop_replication_slot('tidewire_0123abcd');`],
  ],
  [{ ownSlots: [anchor, { ...anchor, name: 'tidewire_89abcdef' }, copy] }, 'own-slots', 'warn', /more than one/, []],
  [
    { ownSlots: [{ ...anchor, catalogAge: 200_000_000 }, copy] },
    'own-slots',
    'warn',
    /last 200000000 transactions/,
    ['select pid, xact_start, state, query from pg_stat_activity where backend_xid is not null order by xact_start limit 5;'],
  ],
  [
    { ownSlots: [anchor, ...Array.from({ length: 11 }, (_, at) => ({ ...copy, node: `web_${at}` }))] },
    'own-slots',
    'warn',
    /about 10 are sensible/,
    [],
  ],
  [{ port: 6543 }, 'pooler', 'warn', /looks like a pooler/, []],
  [{ host: 'aws-0.pooler.supabase.com' }, 'pooler', 'warn', /looks like a pooler/, []],
  [{ saysPooler: true }, 'pooler', 'warn', /looks like a pooler/, []],
])('%j', (change, check, level, detail, sql) => {
  const results = checkDatabase({ ...healthy, ...change }).filter((result) => result.level !== 'ok')
  // A login that may not create anything is a fault of its own.
  const found = results.filter((result) => result.check === check || result.check !== 'create-privilege')
  expect(found).toEqual([{ check, level, detail: expect.stringMatching(detail), sql }])
})

test('what the slots of a healthy database say', () => {
  const says = (ownSlots: readonly OwnSlot[]): unknown => checkDatabase({ ...healthy, ownSlots }).find(({ check }) => check === 'own-slots')
  expect(says([anchor, copy, { ...copy, node: 'web_2' }])).toMatchObject({
    level: 'ok',
    detail: 'tidewire_0123abcd keeps 1.0 MB, 12 transactions old, for web_1, web_2',
  })
  expect(says([{ ...anchor, isActive: true }])).toMatchObject({
    level: 'ok',
    detail: expect.stringMatching(/for a server of version 0\.1$/),
  })
  expect(says([])).toMatchObject({ level: 'ok', detail: 'none' })
})

test('how many servers there is room for', () => {
  const capacities = (used: number, ownSlots: readonly OwnSlot[]): unknown[] =>
    checkDatabase({ ...healthy, slots: { used, most: 10 }, senders: { used, most: 10 }, ownSlots })
      .filter(({ check }) => check === 'replication-slots' || check === 'wal-senders')
      .map(({ level, detail }) => `${level}: ${detail}`)
  expect(capacities(8, [anchor, copy])).toEqual(['ok: 2 of 10 free: room for 2 more servers', 'ok: 2 of 10 free: room for 2 more servers'])
  // The first one needs a slot for the anchor, too.
  expect(capacities(8, [])).toEqual(['ok: 2 of 10 free: room for 1 more server', 'ok: 2 of 10 free: room for 2 more servers'])
  expect(capacities(9, [])[0]).toBe('fail: 1 of 10 free, and a server needs 2')
  const full = 'all 10 are taken: no further server can start, not even to replace one'
  expect(capacities(10, [anchor, copy])).toEqual([`warn: ${full}`, `warn: ${full}`])
})
