import fc from 'fast-check'
import { USERS } from './rls-case.ts'

/**
 * Cases in which everything that decides who sees a row is altered while rows are in flight. `T` is the table, `A` and `B` its
 * partitions, `R1` and `R2` roles that users have, `G` a group that they may be members of.
 */
export interface FlightCase {
  readonly shape: Shape
  readonly full: boolean
  /** Rows are so large that Postgres stores a column of theirs apart, and the stream leaves it out where it stays as it was. */
  readonly wide: boolean
  readonly security: boolean
  /** Privileges are granted column by column. */
  readonly byColumns: boolean
  readonly policies: readonly FlightPolicy[]
  readonly users: readonly FlightUser[]
  readonly steps: readonly Step[]
}

/** How the table is published: by itself, through its partition root, a partition by itself, or with a table that inherits from it. */
export type Shape = 'plain' | 'root' | 'leaf' | 'parent'

export interface FlightPolicy {
  readonly condition: string
  readonly restrictive: boolean
  readonly to: 'public' | 'R1' | 'G'
}

export interface FlightUser {
  readonly role: 'R1' | 'R2'
  readonly sub: string
  readonly tenant: string
  readonly second: string
  readonly filter: FlightFilter | null
  readonly deletes: 'all' | 'authorized'
}

export interface FlightFilter {
  readonly text: string
  readonly holds: (row: FlightRow) => boolean
}

export interface FlightRow {
  readonly id: number
  readonly owner: string | null
  readonly org: number
  readonly tag: string
  readonly n: number
  /** Of a wide row. */
  readonly body?: string
}

export type Step =
  | { readonly kind: 'commit'; readonly acts: readonly string[]; readonly savepoint: boolean }
  | { readonly kind: 'hold' }
  | { readonly kind: 'release' }
  | { readonly kind: 'settle' }

/** Conditions of the row alone, and others. */
export const ROW_CONDITIONS: readonly string[] = [
  'auth.uid() = owner',
  '(select auth.uid()) = owner and n > 0',
  `(auth.jwt() ->> 'tenant') = tag`,
  'n <> 2',
  'true',
]
export const FUNCTION_CONDITION = 'may_see(tag)'
const OTHER_CONDITIONS = [
  'exists (select from members m where m.user_id = auth.uid() and m.org = T.org)',
  'org in (select m.org from open_members m)',
  'not hides_T(id)',
]

/** What `may_see(wanted)` may become; the last one reads a table. */
export const FUNCTION_BODIES: readonly string[] = [
  `(current_setting('request.jwt.claims', true)::jsonb ->> 'tenant') = wanted`,
  `(current_setting('request.jwt.claims', true)::jsonb ->> 'second') = wanted`,
  `exists (select from open_members m where m.org = 1)`,
]

export const FLIGHT_SETUP = `
create function may_see(wanted text) returns bool language sql stable as $$ select ${FUNCTION_BODIES[0]} $$;
create schema flight;
create function flight.body() returns text language sql volatile as $$ select string_agg(md5(random()::text), '') from generate_series(1, 200) $$;`

const policy: fc.Arbitrary<FlightPolicy> = fc.record({
  condition: fc.constantFrom(
    ...ROW_CONDITIONS,
    ...ROW_CONDITIONS,
    FUNCTION_CONDITION,
    FUNCTION_CONDITION,
    ...OTHER_CONDITIONS,
    ...OTHER_CONDITIONS,
  ),
  restrictive: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
  to: fc.constantFrom('public', 'public', 'R1', 'G'),
})

const user: fc.Arbitrary<FlightUser> = fc.record({
  role: fc.constantFrom('R1', 'R1', 'R2'),
  sub: fc.constantFrom(USERS[0], USERS[1]),
  tenant: fc.constantFrom('a', 'b'),
  second: fc.constantFrom('a', 'b'),
  filter: fc.constantFrom<FlightFilter | null>(
    null,
    null,
    null,
    { text: 'org=eq.1', holds: ({ org }) => org === 1 },
    { text: 'tag=like.a%', holds: ({ tag }) => tag.startsWith('a') },
  ),
  deletes: fc.constantFrom('all', 'authorized'),
})

const id = fc.integer({ min: 1, max: 4 })
const values = fc
  .record({
    owner: fc.constantFrom(`'${USERS[0]}'`, `'${USERS[1]}'`, 'null'),
    org: fc.integer({ min: 1, max: 2 }),
    tag: fc.constantFrom('a', 'b'),
    n: fc.integer({ min: 0, max: 3 }),
  })
  .map(({ owner, org, tag, n }) => ({ owner, org, tag, n }))

const write: fc.Arbitrary<string> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc
      .tuple(id, values)
      .map(([at, { owner, org, tag, n }]) => `insert into T values (${at}, ${owner}, ${org}, '${tag}', ${n}) on conflict do nothing`),
  },
  {
    weight: 6,
    arbitrary: fc
      .tuple(id, values)
      .map(([at, { owner, org, tag, n }]) => `update T set owner = ${owner}, org = ${org}, tag = '${tag}', n = ${n} where id = ${at}`),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(id, fc.constantFrom(...USERS)).map(([at, owner]) => `update T set owner = '${owner}' where id = ${at}`),
  },
  { weight: 2, arbitrary: id.map((at) => `delete from T where id = ${at}`) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(id, values)
      .map(
        ([at, { owner, org, tag, n }]) =>
          `delete from T where id = ${at}; insert into T values (${at}, ${owner}, ${org}, '${tag}', ${n}) on conflict do nothing`,
      ),
  },
)

const role = fc.constantFrom('R1', 'R2')
const alteration: fc.Arbitrary<string> = fc.oneof(
  { weight: 3, arbitrary: fc.boolean().map((on) => `alter table P ${on ? 'enable' : 'disable'} row level security`) },
  { weight: 2, arbitrary: policy.map((each) => `policy ${JSON.stringify(each)}`) },
  { weight: 1, arbitrary: fc.constant('drop policies') },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: FUNCTION_BODIES.length - 1 }).map((body) => `body ${body}`) },
  {
    weight: 8,
    arbitrary: fc
      .tuple(
        role,
        fc.constantFrom(
          'grant select on P to',
          'revoke select on P from',
          'revoke select on P from',
          'revoke select (owner, tag) on P from',
          'columns',
        ),
      )
      .map(([name, what]) =>
        what === 'columns' ? `revoke select on P from ${name}; grant select (id, owner, tag) on P to ${name}` : `${what} ${name}`,
      ),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(role, fc.boolean())
      .map(([name, yes]) => `${yes ? 'grant' : 'revoke'} usage on schema flight ${yes ? 'to' : 'from'} ${name}`),
  },
  { weight: 2, arbitrary: fc.tuple(role, fc.boolean()).map(([name, yes]) => `alter role ${name} ${yes ? 'bypassrls' : 'nobypassrls'}`) },
  {
    weight: 2,
    arbitrary: fc.tuple(role, fc.boolean()).map(([name, yes]) => `${yes ? 'grant' : 'revoke'} G ${yes ? 'to' : 'from'} ${name}`),
  },
  { weight: 1, arbitrary: fc.boolean().map((yes) => `${yes ? 'grant' : 'revoke'} select on P ${yes ? 'to' : 'from'} G`) },
  { weight: 2, arbitrary: fc.constantFrom('attach', 'detach', 'inherit') },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom('members', 'open_members'), fc.constantFrom(...USERS), fc.integer({ min: 1, max: 2 }), fc.boolean())
      .map(([table, sub, org, joins]) =>
        joins
          ? `insert into ${table} values ('${sub}', ${org}) on conflict do nothing`
          : `delete from ${table} where user_id = '${sub}' and org = ${org}`,
      ),
  },
)

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('commit' as const),
      acts: fc.array(fc.oneof({ weight: 3, arbitrary: write }, { weight: 2, arbitrary: alteration }), { minLength: 1, maxLength: 3 }),
      savepoint: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'hold' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'release' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'settle' as const }) },
)

export const flightCase: fc.Arbitrary<FlightCase> = fc.record({
  shape: fc.constantFrom<Shape>('plain', 'root', 'root', 'leaf', 'parent'),
  full: fc.boolean(),
  wide: fc.integer({ min: 0, max: 2 }).map((n) => n === 0),
  security: fc.boolean(),
  byColumns: fc.boolean(),
  policies: fc.array(policy, { minLength: 1, maxLength: 2 }),
  users: fc.array(user, { minLength: 2, maxLength: 4 }),
  steps: fc.array(step, { minLength: 4, maxLength: 10 }),
})
