import { beforeAll, expect, test } from 'vitest'
import { usePostgres } from '../../../test/postgres.ts'
import { loadPolicyVersions } from './policy-version.ts'

const postgres = usePostgres()
let reach: { readonly tables: number[]; readonly functions: number[] }

beforeAll(async () => {
  await postgres.admin.query(
    `create role version_reader nologin; create role version_group nologin; create role version_owner nologin;
     create schema versioned; create table versioned.t (id int primary key, v text); create table versioned.root (id int, v text) partition by range (id);
     create table versioned.leaf (id int, v text); create table versioned.nothing (); create function versioned.f() returns bool language sql as 'select true';
     create policy p on versioned.t using (true);`,
  )
  const { rows } = await postgres.admin.query<{ tables: number[]; functions: number[] }>(
    `select array['versioned.t'::regclass::oid, 'versioned.leaf'::regclass::oid]::int8[]::float8[] as tables, array['versioned.f()'::regprocedure::oid]::int8[]::float8[] as functions`,
  )
  reach = rows[0]!
})

const version = async (): Promise<string> =>
  (await loadPolicyVersions(postgres.admin, [{ reach, roles: ['version_reader'] }]))[0]![0]!.version

test.each([
  'create policy q on versioned.t using (false)',
  'alter policy p on versioned.t using (false)',
  'drop policy q on versioned.t',
  'alter table versioned.t enable row level security',
  'alter table versioned.t force row level security',
  'alter table versioned.t replica identity full',
  'alter table versioned.t owner to version_owner',
  'grant select on versioned.t to version_reader',
  'revoke select on versioned.t from version_reader',
  'grant select (id) on versioned.t to version_reader',
  'revoke select (id) on versioned.t from version_reader',
  'alter table versioned.t add more int',
  'alter table versioned.t alter v type varchar',
  'grant usage on schema versioned to version_reader',
  'revoke usage on schema versioned from version_reader',
  'alter table versioned.root attach partition versioned.leaf for values from (0) to (10)',
  'alter table versioned.root detach partition versioned.leaf',
  // A parent without columns: the two tables and their columns stay as they are, and only the inheritance changes.
  'alter table versioned.t inherit versioned.nothing',
  'alter table versioned.t no inherit versioned.nothing',
  `create or replace function versioned.f() returns bool language sql as 'select false'`,
  'alter role version_reader bypassrls',
  'alter role version_reader nobypassrls',
  'alter role version_reader noinherit',
  'alter role version_reader superuser',
  'grant version_group to version_reader',
  'alter role version_group bypassrls',
  'grant version_owner to version_group',
  'revoke version_owner from version_group',
  'revoke version_group from version_reader',
  'alter table versioned.t rename to renamed',
])('the version is another one after: %s', async (alteration) => {
  const before = await version()
  expect(await version()).toBe(before)
  await postgres.admin.query(alteration)
  expect(await version()).not.toBe(before)
})

test('a membership that was revoked and granted again is another one', async () => {
  await postgres.admin.query('grant version_group to version_reader')
  const before = await version()
  await postgres.admin.query('revoke version_group from version_reader')
  await postgres.admin.query('grant version_group to version_reader')
  expect(await version()).not.toBe(before)
})
