import fc from 'fast-check'
import type { JsonObject } from '@tidewire/protocol'

export const USERS = [
  '11111111-1111-1111-1111-111111111111',
  '22222222-2222-2222-2222-222222222222',
  '33333333-3333-3333-3333-333333333333',
] as const

/** What the policies of the cases lean on. */
export const RLS_SETUP = `
create table members (user_id uuid, org int, primary key (user_id, org));
alter table members enable row level security;
create policy own on members for select using (user_id = auth.uid());
create table open_members (user_id uuid, org int, primary key (user_id, org));
create table marker (id serial primary key);
create function sees_org(wanted int) returns bool language sql stable security definer set search_path = public as $$
  select exists (select from open_members where user_id = auth.uid() and org = wanted) $$;
create function tenant_is(wanted text) returns bool language sql stable as $$
  select current_setting('request.jwt.claims', true)::jsonb ->> 'tenant' = wanted $$;
create function raises_for(unlucky text) returns bool language plpgsql stable as $$
  begin
    if auth.jwt() ->> 'tenant' = unlucky then raise exception 'no luck for %', unlucky; end if;
    return true;
  end $$;
insert into members values ('${USERS[0]}', 1), ('${USERS[1]}', 1), ('${USERS[1]}', 2);
insert into open_members values ('${USERS[0]}', 1), ('${USERS[2]}', 2);
grant usage on schema public to anon, authenticated, service_role;
grant all on all tables in schema public to anon, authenticated, service_role;
alter publication supabase_realtime add table marker;`

/** Conditions of policies; `T` is the table. */
const CONDITIONS = [
  'auth.uid() = owner',
  '(select auth.uid()) = owner',
  'owner = auth.uid() and n > 0',
  'auth.uid() = owner or n = 1',
  'auth.uid()::text = owner::text',
  'auth.uid() is not null',
  `auth.role() = 'authenticated'`,
  'true',
  'false',
  'n <> 2',
  `current_setting('request.jwt.claims', true)::jsonb ->> 'tenant' = tag`,
  `(auth.jwt() ->> 'tenant') = tag`,
  `(auth.jwt() -> 'app' ->> 'org')::int = org`,
  `coalesce(auth.jwt() ->> 'tenant', 'a') = tag`,
  'exists (select from members m where m.user_id = auth.uid() and m.org = T.org)',
  'org in (select m.org from members m)',
  'exists (select from open_members m where m.user_id = (select auth.uid()) and m.org = T.org)',
  'sees_org(org)',
  'tenant_is(tag)',
  `current_user = 'anon'`,
  '10 / n > 0',
  `raises_for('b')`,
  `case when auth.role() = 'anon' then n = 1 else auth.uid() = owner end`,
]

export interface Policy {
  readonly condition: string
  readonly restrictive: boolean
  readonly role: string
}

export interface Person {
  readonly role: string
  readonly claims: JsonObject
  readonly filter: { readonly text: string; readonly sql: string; readonly keyOnly: boolean } | null
  readonly event: string
  readonly deletes: 'all' | 'authorized'
}

export type Row = { readonly owner: string | null; readonly org: number; readonly tag: string | null; readonly n: number }

export type Write =
  | { readonly kind: 'insert'; readonly id: number; readonly row: Row }
  | { readonly kind: 'update'; readonly id: number; readonly row: Row }
  | { readonly kind: 'move'; readonly id: number; readonly to: number }
  | { readonly kind: 'delete'; readonly id: number }
  | { readonly kind: 'policy'; readonly policy: Policy }
  | { readonly kind: 'drop-policies' }
  | { readonly kind: 'security'; readonly on: boolean }
  | { readonly kind: 'member'; readonly user: string; readonly org: number; readonly joins: boolean }

export interface RlsCase {
  readonly security: boolean
  readonly full: boolean
  readonly policies: readonly Policy[]
  readonly people: readonly Person[]
  readonly writes: readonly Write[]
}

const policy: fc.Arbitrary<Policy> = fc.record({
  condition: fc.constantFrom(...CONDITIONS),
  restrictive: fc.boolean().chain((one) => fc.boolean().map((other) => one && other)),
  role: fc.constantFrom('public', 'authenticated', 'anon', 'authenticated'),
})

const user = fc.constantFrom(...USERS)

const FILTERS: readonly NonNullable<Person['filter']>[] = [
  { text: 'org=eq.1', sql: 'org = 1', keyOnly: false },
  { text: 'org=in.(1,3)', sql: 'org in (1, 3)', keyOnly: false },
  { text: 'n=gt.1', sql: 'n > 1', keyOnly: false },
  { text: 'tag=like.a%', sql: `tag like 'a%'`, keyOnly: false },
  { text: 'tag=neq.a', sql: `tag <> 'a'`, keyOnly: false },
  { text: 'tag=is.null', sql: 'tag is null', keyOnly: false },
  { text: `owner=eq.${USERS[0]}`, sql: `owner = '${USERS[0]}'`, keyOnly: false },
  { text: 'n=not.eq.2,org=lt.3', sql: 'n <> 2 and org < 3', keyOnly: false },
  { text: 'id=lt.3', sql: 'id < 3', keyOnly: true },
  { text: 'id=in.(1,4)', sql: 'id in (1, 4)', keyOnly: true },
]

const person: fc.Arbitrary<Person> = fc.record({
  role: fc.constantFrom('authenticated', 'authenticated', 'authenticated', 'anon', 'service_role'),
  claims: fc
    .record(
      {
        sub: fc.oneof({ weight: 5, arbitrary: user }, fc.constant(USERS[0].toUpperCase()), fc.constantFrom('nobody', '')),
        tenant: fc.constantFrom('a', 'b'),
        app: fc.record({ org: fc.constantFrom(1, 2, 'x') }),
        note: fc.constantFrom("'", '"\\', '\u0000', 'é'),
      },
      { requiredKeys: [] },
    )
    .map((claims) => ({ ...claims })),
  filter: fc.option(fc.constantFrom(...FILTERS), { nil: null, freq: 2 }),
  event: fc.constantFrom('*', '*', 'INSERT', 'UPDATE', 'DELETE'),
  deletes: fc.constantFrom('all', 'authorized'),
})

const row: fc.Arbitrary<Row> = fc.record({
  owner: fc.option(user, { nil: null }),
  org: fc.constantFrom(1, 2, 3),
  tag: fc.constantFrom('a', 'b', 'ab', null),
  n: fc.constantFrom(0, 1, 2, 3),
})
const id = fc.integer({ min: 1, max: 4 })

const write: fc.Arbitrary<Write> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('insert' as const), id, row }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('update' as const), id, row }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('move' as const), id, to: id }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete' as const), id }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('policy' as const), policy }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('drop-policies' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('security' as const), on: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('member' as const), user, org: fc.constantFrom(1, 2, 3), joins: fc.boolean() }) },
)

export const rlsCase: fc.Arbitrary<RlsCase> = fc.record({
  security: fc.integer({ min: 0, max: 9 }).map((n) => n > 0),
  full: fc.boolean(),
  policies: fc.array(policy, { maxLength: 3 }),
  people: fc.array(person, { minLength: 3, maxLength: 7 }),
  writes: fc.array(write, { minLength: 3, maxLength: 9 }),
})

export function valuesOf({ owner, org, tag, n }: Row): unknown[] {
  return [owner, org, tag, n]
}

export function createSql(table: string, { security, full, policies: begun }: RlsCase): string {
  return [
    `create table ${table} (id int primary key, owner uuid, org int, tag text, n int)`,
    `insert into ${table} values (1, '${USERS[0]}', 1, 'a', 1), (2, '${USERS[1]}', 2, 'b', 2), (3, null, 3, null, 0)`,
    `grant select on ${table} to anon, authenticated, service_role`,
    ...(security ? [`alter table ${table} enable row level security`] : []),
    ...(full ? [`alter table ${table} replica identity full`] : []),
    ...begun.map((one, index) => policySql(table, one, `policy_${index}`)),
    `alter publication supabase_realtime add table ${table}`,
  ].join('; ')
}

export function policySql(table: string, { condition, restrictive, role }: Policy, name: string): string {
  const using = condition.replaceAll('T.', `${table}.`)
  return `create policy ${name} on ${table} as ${restrictive ? 'restrictive' : 'permissive'} for select to ${role} using (${using})`
}
