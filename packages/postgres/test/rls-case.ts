import fc from 'fast-check'
import type { JsonObject } from '@tidewire/protocol'
import type pg from 'pg'
import { asRole, type TestChannel, type TestFeed } from './feed.ts'

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

interface Policy {
  readonly condition: string
  readonly restrictive: boolean
  readonly role: string
}

interface Person {
  readonly role: string
  readonly claims: JsonObject
  readonly filter: { readonly text: string; readonly sql: string; readonly keyOnly: boolean } | null
  readonly event: string
}

type Row = { readonly owner: string | null; readonly org: number; readonly tag: string | null; readonly n: number }

type Write =
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

let tables = 0

/**
 * Plays a case. After every write Postgres is asked, one user at a time, who may see what was written; what the channels
 * got has to be exactly that. Answers what differs, and how many answers were compared.
 */
export async function playCase(it: TestFeed, each: RlsCase): Promise<{ readonly faults: readonly string[]; readonly compared: number }> {
  const table = `case_${++tables}`
  await it.sql.query(createSql(table, each))
  const players = each.people.map((one) => new Player(it, table, one))
  const marker = it.open({ entries: [{ event: 'INSERT', schema: 'public', table: 'marker' }], identity: asRole('service_role') })
  const faults: string[] = []
  let compared = 0
  try {
    await Promise.all([marker, ...players.map(({ channel }) => channel)].map((channel) => channel.subscribed()))
    for (const one of each.writes) {
      const written = await apply(it.sql, table, one)
      for (const change of written) {
        for (const player of players) {
          const expected = await player.expects(it.sql, table, change)
          const late = expected === false && change.type !== 'DELETE' && player.isDecidedApart
          if (expected !== false || late)
            player.expected.push({ text: `${change.type} ${change.id}`, optional: expected !== true, lateKey: late ? change.id : null })
        }
      }
      const before = marker.changes.length
      await it.sql.query('insert into marker default values')
      await marker.received(before + 1)
      for (const player of players) {
        compared += written.length
        const fault = await player.compare(it.sql, table)
        if (fault !== null) faults.push(`${JSON.stringify(one)}: ${fault}`)
      }
      if (faults.length > 0) break
    }
  } finally {
    for (const { channel } of players) channel.handle.close()
    marker.handle.close()
    await it.sql.query(`drop table ${table}; delete from members where org = 3; delete from open_members where org = 3`)
  }
  return { faults, compared }
}

interface Written {
  readonly type: 'INSERT' | 'UPDATE' | 'DELETE'
  readonly id: number
  /** The deleted row, as SQL. */
  readonly old?: string
  readonly wholeOld?: boolean
}

interface Expected {
  readonly text: string
  readonly optional: boolean
  /** The row of a change that was hidden when it was written: it may only come when it is shown. */
  readonly lateKey: number | null
}

class Player {
  readonly channel: TestChannel
  readonly expected: Expected[] = []
  readonly #person: Person
  /**
   * Policies failed for this user before. From then on the feed decides apart from the others, and so perhaps after a
   * policy has changed: what was hidden at the write may come, if it is shown by then.
   */
  isDecidedApart = false

  constructor(it: TestFeed, table: string, one: Person) {
    this.#person = one
    const entry = { event: one.event, schema: 'public', table, ...(one.filter === null ? {} : { filter: one.filter.text }) }
    this.channel = it.open({ entries: [entry], identity: asRole(one.role, one.claims) })
  }

  /** Asks Postgres as this user. */
  async expects(sql: pg.Client, table: string, { type, id: key, old, wholeOld }: Written): Promise<boolean | 'either'> {
    const { role, claims, filter, event } = this.#person
    if (event !== '*' && event !== type) return false
    // Filters may look at the replica identity of a deleted row; under row level security only at its key.
    if (type === 'DELETE')
      return (
        filter === null ||
        ((filter.keyOnly || wholeOld === true) &&
          (await passes(sql, `select ${filter.sql} as yes from (values ${old}) v (id, owner, org, tag, n)`)))
      )
    if (filter !== null && !(await passes(sql, `select ${filter.sql} as yes from ${table} where id = ${key}`))) return false
    const shown = await shows(sql, table, key, role, { role, ...claims }, false)
    if (shown === null) this.isDecidedApart = true
    // Planning a statement may fail for somebody for whom running it does not; then both answers are right.
    return shown ?? ((await shows(sql, table, key, role, { role, ...claims }, true)) === true ? 'either' : false)
  }

  /** Those whose policies fail are decided apart from the others, so theirs may come a little later. */
  async compare(sql: pg.Client, table: string): Promise<string | null> {
    const deadline = Date.now() + 3_000
    let late = this.#matched()
    while (late === null && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 5))
      late = this.#matched()
    }
    const { role, claims } = this.#person
    for (const key of late ?? [])
      if ((await shows(sql, table, key, role, { role, ...claims }, true)) !== true) return this.#fault(`row ${key}, which is hidden`)
    return late === null ? this.#fault(JSON.stringify(this.expected)) : null
  }

  #fault(what: string): string {
    return `${JSON.stringify(this.#person)} saw ${this.#seen().join() || 'nothing'}, not ${what}`
  }

  /** The rows of late changes among those seen, as few as explain it; `null` when something is missing or too much. */
  #matched(): number[] | null {
    return explained(this.expected, this.#seen())
  }

  #seen(): string[] {
    return this.channel.changes.map(({ data }) => `${data.type} ${String((data.record ?? data.old_record)?.['id'])}`)
  }
}

function explained(expected: readonly Expected[], seen: readonly string[]): number[] | null {
  const [first, ...rest] = expected
  if (first === undefined) return seen.length === 0 ? [] : null
  const without = first.optional ? explained(rest, seen) : null
  if (without !== null || seen[0] !== first.text) return without
  const others = explained(rest, seen.slice(1))
  return others === null || first.lateKey === null ? others : [first.lateKey, ...others]
}

/** Whether Postgres shows the row to this user; `null`: it fails. `planned`: the statement was planned for nobody before. */
async function shows(
  sql: pg.Client,
  table: string,
  key: number,
  role: string,
  claims: JsonObject,
  planned: boolean,
): Promise<boolean | null> {
  const become = (text: string): Promise<unknown> =>
    sql.query("select set_config('request.jwt.claims', $1, true), set_config('role', $2, true)", [text, role])
  await sql.query('begin; set local enable_seqscan = off; set local plan_cache_mode = force_generic_plan')
  try {
    await become(planned ? '{}' : JSON.stringify(claims))
    await sql.query(`prepare look (int) as select from ${table} where id = $1`)
    if (planned) {
      await sql.query('savepoint planning')
      await sql.query('execute look (-1)').catch(() => sql.query('rollback to savepoint planning'))
      await become(JSON.stringify(claims))
    }
    return (await sql.query(`execute look (${key})`)).rowCount === 1
  } catch {
    return null
  } finally {
    await sql.query('rollback')
    await sql.query('deallocate all')
  }
}

async function passes(sql: pg.Client, query: string): Promise<boolean> {
  return (await sql.query<{ yes: boolean | null }>(query)).rows[0]?.yes === true
}

async function apply(sql: pg.Client, table: string, one: Write): Promise<Written[]> {
  switch (one.kind) {
    case 'insert': {
      const { rowCount } = await sql.query(`insert into ${table} values ($1, $2, $3, $4, $5) on conflict do nothing`, [
        one.id,
        ...valuesOf(one.row),
      ])
      return rowCount === 1 ? [{ type: 'INSERT', id: one.id }] : []
    }
    case 'update': {
      const { rowCount } = await sql.query(`update ${table} set owner = $2, org = $3, tag = $4, n = $5 where id = $1`, [
        one.id,
        ...valuesOf(one.row),
      ])
      return rowCount === 1 ? [{ type: 'UPDATE', id: one.id }] : []
    }
    case 'move': {
      const { rowCount } = await sql.query(
        `update ${table} set id = $2 where id = $1 and not exists (select from ${table} where id = $2)`,
        [one.id, one.to],
      )
      return rowCount === 1 ? [{ type: 'UPDATE', id: one.to }] : []
    }
    case 'delete': {
      const { rows } = await sql.query<{ old: string; whole: boolean }>(
        `delete from ${table} where id = $1 returning
           format('(%s, %L::uuid, %s, %L::text, %s)', id, owner, org, tag, n) as old,
           (select relreplident = 'f' and not relrowsecurity from pg_class where oid = $2::regclass) as whole`,
        [one.id, table],
      )
      return rows.map(({ old, whole }) => ({ type: 'DELETE', id: one.id, old, wholeOld: whole }))
    }
    case 'policy':
      await sql.query(policySql(table, one.policy, `later_${Math.trunc(tables)}_${++policies}`))
      return []
    case 'drop-policies': {
      const { rows } = await sql.query<{ name: string }>('select polname as name from pg_policy where polrelid = $1::regclass', [table])
      for (const { name } of rows) await sql.query(`drop policy ${name} on ${table}`)
      return []
    }
    case 'security':
      await sql.query(`alter table ${table} ${one.on ? 'enable' : 'disable'} row level security`)
      return []
    case 'member':
      for (const members of ['members', 'open_members'])
        await sql.query(
          one.joins && one.org === 3
            ? `insert into ${members} values ('${one.user}', 3) on conflict do nothing`
            : `delete from ${members} where user_id = '${one.user}' and org = 3`,
        )
      return []
  }
}

let policies = 0

function valuesOf({ owner, org, tag, n }: Row): unknown[] {
  return [owner, org, tag, n]
}

function createSql(table: string, { security, full, policies: begun }: RlsCase): string {
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

function policySql(table: string, { condition, restrictive, role }: Policy, name: string): string {
  const using = condition.replaceAll('T.', `${table}.`)
  return `create policy ${name} on ${table} as ${restrictive ? 'restrictive' : 'permissive'} for select to ${role} using (${using})`
}
