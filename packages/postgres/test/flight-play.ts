import type { ChangeHandle } from '@tidewire/server'
import pg from 'pg'
import { parsePosition } from '../src/replication/position.ts'
import { USERS } from './rls-case.ts'
import { asRole, decidedAll, type ChangeMessage, type TestFeed } from './feed.ts'
import { FUNCTION_BODIES, type FlightCase, type FlightPolicy, type FlightRow, type FlightUser, type Shape } from './flight-case.ts'

let tables = 0
let policies = 0

/** The database after a commit, as each of the users sees it. */
interface State {
  /** Where the log stood after it. */
  readonly lsn: bigint
  readonly security: boolean
  readonly policies: readonly StatedPolicy[]
  /** All rows, whatever the users see. */
  readonly all: readonly FlightRow[]
  readonly users: readonly View[]
}

interface StatedPolicy {
  readonly restrictive: boolean
  readonly to: string
  /** `null`: of more than the row. */
  readonly sql: string | null
  /** It reads the table itself, or calls a function that reads tables. */
  readonly opaque: boolean
}

interface View {
  /** The rows that a SELECT gives, as JSON with sorted keys. */
  readonly rows: ReadonlySet<string>
  readonly keys: ReadonlySet<number>
  /** Columns that the user may select; `null`: SQL refuses the table. */
  readonly columns: readonly string[] | null
  readonly bypasses: boolean
  readonly groups: readonly string[]
}

interface Delivery {
  readonly data: ChangeMessage['data']
  /** The commit that was the newest, or under way, when it came. */
  readonly at: number
}

export interface Flight {
  readonly it: TestFeed
  /** Roles are those of the whole server: each database has its own. */
  readonly roles: { readonly R1: string; readonly R2: string; readonly G: string }
}

/**
 * Plays a case. Commits do not wait for the feed, so that privileges, policies and rows change while it decides. Whatever
 * content a user gets must be a state of the row that Postgres showed them between the change's commit and the delivery, or
 * a version for which policies of the row alone were true then. At the end, what every user sees comes.
 */
export async function playFlight(
  flight: Flight,
  each: FlightCase,
): Promise<{ readonly faults: readonly string[]; readonly compared: number }> {
  return new Play(flight, each).run()
}

class Play {
  readonly #it: TestFeed
  readonly #roles: Flight['roles']
  readonly #case: FlightCase
  readonly #table = `flight.t${++tables}`
  readonly #states: State[] = []
  /** All rows after each statement. */
  readonly #versions: FlightRow[] = []
  readonly #marker: Receiver
  #sent = 0
  #body = 0
  #held = false
  /** What only policies of the row can justify. */
  readonly #doubts = new Map<string, () => Promise<boolean>>()

  constructor({ it, roles }: Flight, each: FlightCase) {
    this.#it = it
    this.#roles = roles
    this.#case = each
    this.#marker = new Receiver(
      it,
      { entries: [{ event: 'INSERT', schema: 'public', table: 'marker' }], identity: asRole('service_role') },
      () => 0,
    )
  }

  async run(): Promise<{ readonly faults: readonly string[]; readonly compared: number }> {
    const { users, steps } = this.#case
    await this.#it.sql.query(this.#createSql())
    const receivers = users.map((user) => this.#receiver(user, null))
    try {
      await Promise.all([this.#marker, ...receivers].map((receiver) => receiver.subscribed()))
      await this.#look()
      for (const step of steps) {
        if (step.kind === 'hold') this.#hold(true)
        else if (step.kind === 'release') this.#hold(false)
        else if (step.kind === 'settle') await this.#settle()
        else await this.#commit(step.acts, step.savepoint)
      }
      await this.#settle()
      const missing = await this.#untilComplete(receivers)
      const replays = users.map((user, index) => this.#receiver(user, receivers[index]!.position))
      await Promise.all(replays.map((receiver) => receiver.subscribed()))
      for (const replay of replays) replay.close()
      const faults = [
        ...missing,
        ...users.flatMap((user, index) => {
          const all = [...receivers[index]!.deliveries, ...replays[index]!.deliveries]
          return all.flatMap((delivery) => this.#judge(user, index, delivery) ?? [])
        }),
      ]
      const compared = [...receivers, ...replays].reduce((sum, { deliveries }) => sum + deliveries.length, 0)
      return { faults: await this.#judgedByPolicies(faults), compared }
    } finally {
      this.#hold(false)
      for (const receiver of [this.#marker, ...receivers]) receiver.close()
      await this.#it.sql.query(this.#dropSql())
    }
  }

  /** The published table. */
  get #published(): string {
    return this.#case.shape === 'leaf' ? `${this.#table}a` : this.#table
  }

  get #rowsSql(): string {
    return this.#case.shape === 'parent' ? `only ${this.#published}` : this.#published
  }

  #receiver(user: FlightUser, since: string | null): Receiver {
    const [schema, table] = this.#published.split('.') as [string, string]
    const { sub, tenant, second, deletes, filter } = user
    const entry = { event: '*', schema, table, ...(filter === null ? {} : { filter: filter.text }) }
    const identity = asRole(this.#roles[user.role], { sub, tenant, second })
    return new Receiver(this.#it, { entries: [entry], identity, deletes, since }, () => this.#sent)
  }

  #hold(held: boolean): void {
    if (held === this.#held) return
    this.#held = held
    if (held) this.#it.feed.source.pause()
    else this.#it.feed.source.resume()
  }

  /** Until everything that was committed is delivered. */
  async #settle(): Promise<void> {
    this.#hold(false)
    const before = this.#marker.deliveries.length
    await this.#it.sql.query('insert into marker default values')
    await this.#marker.until(() => this.#marker.deliveries.length > before)
  }

  async #commit(acts: readonly string[], savepoint: boolean): Promise<void> {
    const statements = acts.map((act) => this.#sqlOf(act))
    if (savepoint && statements.length > 1) statements.splice(1, 0, 'savepoint one')
    const bodies = acts.flatMap((act) => (act.startsWith('body ') ? [Number(act.slice(5))] : []))
    const look = `select coalesce(json_agg(v), '[]') as versions from ${this.#rowsSql} v`
    this.#sent++
    try {
      const results = (await this.#it.sql.query(
        `begin; ${statements.flatMap((statement) => [statement, look]).join('; ')}; commit`,
      )) as unknown as pg.QueryResult<{ versions: FlightRow[] }>[]
      this.#versions.push(...results.flatMap(({ rows }) => rows.flatMap(({ versions }) => versions)))
    } catch {
      // A partition that is attached already, for one: nothing of it has happened.
      await this.#it.sql.query('rollback')
      this.#sent--
      return
    }
    this.#body = bodies.at(-1) ?? this.#body
    await this.#look()
  }

  #sqlOf(act: string): string {
    if (act.startsWith('policy ')) return this.#policySql(JSON.parse(act.slice(7)) as FlightPolicy)
    if (act.startsWith('body ')) return bodySql(Number(act.slice(5)))
    if (act === 'touch') return `update ${this.#case.shape === 'parent' ? 'only ' : ''}${this.#published} set n = n`
    if (act === 'drop policies') {
      return `do $$ declare p text; begin
        for p in select polname from pg_policy where polrelid = '${this.#published}'::regclass loop execute format('drop policy %I on ${this.#published}', p); end loop; end $$`
    }
    const [partition, from, to] = this.#case.shape === 'leaf' ? ['a', 0, 3] : ['b', 3, 100]
    if (act === 'attach')
      return `alter table ${this.#table} attach partition ${this.#table}${partition} for values from (${from}) to (${to})`
    if (act === 'detach') return `alter table ${this.#table} detach partition ${this.#table}${partition}`
    if (act === 'inherit')
      return `insert into ${this.#table}child select id, '11111111-1111-1111-1111-111111111111', 1, 'a', 1 from only ${this.#table} on conflict do nothing`
    return this.#named(act)
  }

  #named(sql: string): string {
    const into = this.#case.shape === 'parent' ? `only ${this.#table}` : this.#table
    return sql
      .replaceAll(/\b(update|delete from) T\b/g, `$1 ${into}`)
      .replaceAll(/\bT\b/g, this.#table)
      .replaceAll(/\bP\b/g, this.#published)
      .replaceAll(/\b(R1|R2|G)\b/g, (name) => this.#roles[name as keyof Flight['roles']])
  }

  #policySql({ condition, restrictive, to }: FlightPolicy): string {
    const using = this.#conditionSql(condition)
    const role = to === 'public' ? 'public' : this.#roles[to]
    return `create policy p${++policies} on ${this.#published} as ${restrictive ? 'restrictive' : 'permissive'} for select to ${role} using (${using})`
  }

  #conditionSql(condition: string): string {
    return condition.replaceAll('T.', `${this.#published.split('.')[1]}.`).replaceAll('hides_T', `${this.#table}_hides`)
  }

  #createSql(): string {
    const t = this.#table
    const body = this.#case.wide ? ', body text default flight.body()' : ''
    const columns = `(id int primary key, owner uuid, org int, tag text, n int${body})`
    const shapes: Record<Shape, string> = {
      plain: `create table ${t} ${columns}`,
      root: `create table ${t} ${columns} partition by range (id); create table ${t}a partition of ${t} for values from (0) to (3);
        create table ${t}b partition of ${t} for values from (3) to (100)`,
      leaf: `create table ${t} ${columns} partition by range (id); create table ${t}a partition of ${t} for values from (0) to (3);
        create table ${t}b partition of ${t} for values from (3) to (100)`,
      parent: `create table ${t} ${columns}; create table ${t}child (primary key (id)) inherits (${t})`,
    }
    const { shape, full, security, byColumns, policies: first } = this.#case
    const select = byColumns ? 'select (id, owner, org, tag, n)' : 'select'
    const { R1, R2, G } = this.#roles
    const identities = shape === 'root' || shape === 'leaf' ? [t, `${t}a`, `${t}b`] : [t]
    return [
      shapes[shape],
      `create function ${t}_hides(wanted int) returns bool language sql stable security definer as $$ select coalesce((select n = 0 from ${shape === 'parent' ? 'only ' : ''}${this.#published} where id = wanted), false) $$`,
      ...(full ? identities.map((name) => `alter table ${name} replica identity full`) : []),
      `grant usage on schema flight to ${R1}, ${R2}; grant ${select} on ${this.#published} to ${R1}, ${R2}`,
      `alter role ${R1} nobypassrls; alter role ${R2} nobypassrls; revoke ${G} from ${R1}, ${R2}`,
      bodySql(0),
      ...(security ? [`alter table ${this.#published} enable row level security`] : []),
      ...first.map((each) => this.#policySql(each)),
      `alter publication supabase_realtime add table ${shape === 'parent' ? 'only ' : ''}${this.#published}`,
      `insert into ${t} values (1, '11111111-1111-1111-1111-111111111111', 1, 'a', 1), (3, '22222222-2222-2222-2222-222222222222', 2, 'b', 2)`,
    ].join(';\n')
  }

  #dropSql(): string {
    const { shape } = this.#case
    const t = this.#table
    const others = shape === 'root' || shape === 'leaf' ? `; drop table if exists ${t}a, ${t}b cascade` : ''
    return `drop table ${t} cascade${others}; drop function ${t}_hides(int) cascade; delete from members where org < 3; delete from open_members where org < 3;
      insert into members values ('${USERS[0]}', 1), ('${USERS[1]}', 1), ('${USERS[1]}', 2); insert into open_members values ('${USERS[0]}', 1), ('${USERS[2]}', 2)`
  }

  /** Asks Postgres what the users see. */
  async #look(): Promise<void> {
    const { sql } = this.#it
    const { rows } = await sql.query<{ lsn: string; security: boolean; policies: { restrictive: boolean; to: string; sql: string }[] }>(
      `select (pg_current_wal_insert_lsn() - '0/0')::text as lsn, c.relrowsecurity as security,
         (select coalesce(json_agg(json_build_object('restrictive', not polpermissive, 'to', case when 0 = any(polroles) then 'public' else polroles[1]::regrole::text end,
           'sql', pg_get_expr(polqual, polrelid))), '[]') from pg_policy where polrelid = c.oid) as policies
       from pg_class c where c.oid = $1::regclass`,
      [this.#published],
    )
    const { lsn, security, policies: found } = rows[0]!
    const users: View[] = []
    for (const user of this.#case.users) users.push(await this.#viewOf(user))
    const known = found.map(({ restrictive, to, sql: text }) => ({
      restrictive,
      to,
      sql: this.#rowSql(text),
      opaque: this.#isOpaque(text),
    }))
    const all = (await sql.query<FlightRow>(`select * from ${this.#rowsSql}`)).rows
    this.#versions.push(...all)
    this.#states.push({ lsn: BigInt(lsn), security, policies: known, all, users })
  }

  /** The condition, if it is of the row alone. */
  #rowSql(sql: string): string | null {
    if (/members|hides/.test(sql)) return null
    if (!sql.includes('may_see')) return sql
    return this.#body === 2 ? null : sql.replace(/(public\.)?may_see\(tag\)/, `(${FUNCTION_BODIES[this.#body]!.replace('wanted', 'tag')})`)
  }

  #isOpaque(sql: string): boolean {
    return sql.includes('_hides') || (sql.includes('may_see') && this.#body === 2)
  }

  async #viewOf(user: FlightUser): Promise<View> {
    const { sql } = this.#it
    const role = this.#roles[user.role]
    const { rows } = await sql.query<{ columns: string[]; usage: boolean; bypasses: boolean; groups: string[] }>(
      `select array(select attname::text from pg_attribute where attrelid = $1::regclass and attnum > 0 and has_column_privilege($2, attrelid, attnum, 'SELECT') order by attnum) as columns,
         has_schema_privilege($2, 'flight', 'USAGE') as usage, rolbypassrls as bypasses,
         array(select g.rolname::text from pg_roles g where pg_has_role($2, g.oid, 'USAGE')) as groups
       from pg_roles where rolname = $2`,
      [this.#published, role],
    )
    const { columns, usage, bypasses, groups } = rows[0]!
    const may = usage && columns.includes('id')
    const seen = may ? await this.#select(user, columns) : []
    const keys = new Set(seen.map((row) => (JSON.parse(row) as FlightRow).id))
    return { rows: new Set(seen), keys, columns: may ? columns : null, bypasses, groups }
  }

  async #select(user: FlightUser, columns: readonly string[]): Promise<string[]> {
    const from = this.#rowsSql
    try {
      const results = (await this.#it.sql.query(
        `begin; ${this.#become(user)}; select to_jsonb(v)::text as row from (select ${columns.join(', ')} from ${from}) v; rollback`,
      )) as unknown as pg.QueryResult<{ row: string }>[]
      return results.at(-2)!.rows.map(({ row }) => canonical(JSON.parse(row) as object))
    } catch {
      await this.#it.sql.query('rollback')
      return []
    }
  }

  #become({ role, sub, tenant, second }: FlightUser): string {
    const name = this.#roles[role]
    const claims = JSON.stringify({ role: name, sub, tenant, second })
    return `select set_config('request.jwt.claims', ${pg.escapeLiteral(claims)}, true), set_config('role', '${name}', true)`
  }

  #judge(user: FlightUser, index: number, { data, at }: Delivery): string | null {
    if (data.errors?.[0]?.startsWith('Error 40') === true) return null
    const parsed = parsePosition(data.position ?? '')
    if (parsed === null) return `a delivery without a position: ${JSON.stringify(data)}`
    const first = this.#states.findIndex(({ lsn }) => lsn > parsed.commitLsn)
    const window = this.#states.slice(first, at + 1)
    const what = `${JSON.stringify({ ...data, columns: undefined })} in states ${first} to ${at}, to ${JSON.stringify(user)}`
    const { record, old_record: old } = data
    if (!window.some(({ users }) => users[index]!.columns !== null)) return `the table is closed to its user: ${what}`
    if (old !== undefined && Object.keys(old).length > 1) this.#doubt(user, index, window, old, what)
    if (data.type === 'DELETE') {
      if (user.deletes === 'authorized') this.#judgeDelete(user, index, first, window, old!, what)
      return null
    }
    const keyOnly = data.superseded === true && Object.keys(record!).length === 1
    if (keyOnly) {
      const shown = window.some(({ users }) => users[index]!.keys.has((record as unknown as FlightRow).id))
      return shown ? null : `the key of a hidden row: ${what}`
    }
    const row = record as unknown as FlightRow
    if (user.filter !== null && 'org' in row && !user.filter.holds(row)) return `a row that the filter does not match: ${what}`
    if (window.some(({ users }) => users[index]!.rows.has(canonical(record!)))) return null
    if (data.superseded === true) return `a row that was never shown: ${what}`
    if (window.some(({ users }) => isAmong(record!, users[index]!.rows))) return null
    const shown = window.some((state) => !isChecked(state, index) || state.users[index]!.keys.has(row.id))
    if (!shown) return `a hidden row: ${what}`
    this.#doubt(user, index, window, record!, what)
    return null
  }

  #judgeDelete(user: FlightUser, index: number, first: number, window: readonly State[], old: object, what: string): void {
    const applied = window.map((state) => ({ state, policies: state.policies.filter((each) => appliesTo(each, state.users[index]!)) }))
    if (applied.some(({ state, policies: some }) => !isChecked(state, index) || some.every(({ opaque, sql }) => !opaque && sql === null)))
      return
    const { id } = old as FlightRow
    const row = this.#states[first - 1]?.all.find((each) => each.id === id)
    if (applied.every(({ policies: some }) => some.some(({ opaque }) => opaque)))
      this.#doubts.set(`a delete under opaque policies: ${what}`, async () => false)
    // Content is judged by itself: the transaction may have written the row again before it deleted it. To a user who may select
    // nothing but the key, the key is the content.
    else if (window.some(({ users }) => users[index]!.columns?.length === 1)) this.#doubt(user, index, window, old, `deleted, ${what}`)
    else if (
      Object.keys(old).length === 1 &&
      row !== undefined &&
      applied.every(({ policies: some }) => some.every(({ sql }) => sql !== null))
    )
      this.#doubt(user, index, window, row, `deleted, ${what}`, false)
  }

  /** Not a state that a SELECT showed: it has to be one that policies of the row alone would show. */
  #doubt(user: FlightUser, index: number, window: readonly State[], row: object, what: string, sent = true): void {
    this.#doubts.set(`content that was never shown: ${what}`, async () => {
      for (const state of window) if (await this.#wouldShow(user, state, state.users[index]!, row, sent)) return true
      return false
    })
  }

  async #judgedByPolicies(faults: readonly string[]): Promise<string[]> {
    const all = [...faults]
    for (const [fault, isRight] of this.#doubts) if (!(await isRight())) all.push(fault)
    return all
  }

  /** `sent`: the row was sent, so that its columns have to be those that the user may select. */
  async #wouldShow(user: FlightUser, state: State, view: View, row: object, sent: boolean): Promise<boolean> {
    if (view.columns === null || (sent && !Object.keys(row).every((name) => view.columns!.includes(name)))) return false
    if (!state.security || view.bypasses) return true
    const applied = state.policies.filter((each) => appliesTo(each, view))
    if (applied.some(({ sql }) => sql === null)) return false
    const any = applied.filter(({ restrictive }) => !restrictive).map(({ sql }) => `(${sql})`)
    const all = applied.filter(({ restrictive }) => restrictive).map(({ sql }) => `(${sql})`)
    const shown = [`(${any.join(' or ') || 'false'})`, ...all].join(' and ')
    // Of a row that was sent in part, the rest is what some statement wrote.
    const isOf = (each: FlightRow): boolean => Object.entries(row).every(([name, value]) => each[name as keyof FlightRow] === value)
    const whole = Object.keys(row).length >= 5 ? [row] : this.#versions.filter(isOf)
    if (whole.length === 0) return true
    const claims = { sub: user.sub, tenant: user.tenant, second: user.second, role: this.#roles[user.role] }
    await this.#it.sql.query(`select set_config('request.jwt.claims', $1, false)`, [JSON.stringify(claims)])
    const { rows } = await this.#it.sql.query<{ shown: boolean | null }>(
      `select bool_or(${shown}) as shown from jsonb_to_recordset($1) as t (id int, owner uuid, org int, tag text, n int)`,
      [JSON.stringify(whole)],
    )
    return rows[0]!.shown === true
  }

  /** Once nothing else happens, each row that is written reaches those who see it, from then on each time. */
  async #untilComplete(receivers: readonly Receiver[]): Promise<string[]> {
    let missing = await this.#missing(receivers)
    for (let attempt = 0; missing.length > 0 && attempt < 25; attempt++) {
      // What shows more is noticed at the next refresh, and policies that failed are tried again after a while.
      await new Promise((resolve) => setTimeout(resolve, 100))
      missing = await this.#missing(receivers)
    }
    return missing.length > 0 ? missing : this.#missing(receivers)
  }

  /** Writes every row again, and answers which do not reach a user who sees them, once everything is decided. */
  async #missing(receivers: readonly Receiver[]): Promise<string[]> {
    const before = receivers.map(({ deliveries }) => deliveries.length)
    await this.#commit(['touch'], false)
    await this.#settle()
    // Filters that only Postgres can evaluate are decided in isolation, not in order with the marker.
    await decidedAll(this.#it.feed)
    const { users } = this.#states.at(-1)!
    const { full } = this.#case
    return receivers.flatMap((receiver, index) => {
      const { filter } = this.#case.users[index]!
      const got = receiver.deliveries.slice(before[index]).map(({ data }) => canonical(data.record ?? {}))
      const { rows, columns } = users[index]!
      if (filter !== null && (columns?.length ?? 0) < 5) return []
      const wanted = [...rows].filter((row) => filter === null || filter.holds(JSON.parse(row) as FlightRow))
      return wanted.flatMap((row) =>
        got.includes(row) || (!full && got.includes(withoutBody(row)))
          ? []
          : [`${row} did not come to ${JSON.stringify(this.#case.users[index])}: ${receiver.systems.join('; ')}`],
      )
    })
  }
}

function isChecked({ security, users }: State, index: number): boolean {
  return security && !users[index]!.bypasses
}

function appliesTo({ to }: StatedPolicy, { groups }: View): boolean {
  return to === 'public' || groups.includes(to)
}

function bodySql(body: number): string {
  return `create or replace function may_see(wanted text) returns bool language sql stable as $$ select ${FUNCTION_BODIES[body]} $$`
}

function canonical(row: object): string {
  return JSON.stringify(Object.fromEntries(Object.entries(row).toSorted(([a], [b]) => (a < b ? -1 : 1))))
}

function withoutBody(row: string): string {
  const { body: _, ...rest } = JSON.parse(row) as FlightRow
  return canonical(rest)
}

/** But for what is stored apart, which the stream leaves out where it stays as it was. */
function isAmong(record: object, rows: ReadonlySet<string>): boolean {
  return !('body' in record) && [...rows].some((row) => withoutBody(row) === canonical(record))
}

/** A channel with positions that notes when what came. */
class Receiver {
  readonly deliveries: Delivery[] = []
  readonly systems: string[] = []
  position: string | null = null
  readonly #handle: ChangeHandle
  #ready = false
  #wake: () => void = () => {}

  constructor(
    it: TestFeed,
    request: {
      readonly entries: readonly object[]
      readonly identity: ReturnType<typeof asRole>
      readonly deletes?: 'all' | 'authorized'
      readonly since?: string | null
    },
    now: () => number,
  ) {
    const entries = request.entries.map((entry, index) => ({ id: index + 1, entry }))
    this.#handle = it.feed.changeFeed.open(
      { subTopic: 'flight', positions: true, since: null, deletes: 'all', legacy: false, ...request, entries } as never,
      {
        change: (_event, payload) => {
          this.deliveries.push({ data: (JSON.parse(Buffer.from(payload).toString()) as { data: ChangeMessage['data'] }).data, at: now() })
          this.#wake()
        },
        system: (_status, message, extra) => {
          this.systems.push(message)
          const position = (extra as { position?: string } | undefined)?.position
          // A filter on a column that may no longer be selected is refused.
          if (message === 'Subscribed to PostgreSQL' || message.startsWith('Unable to subscribe')) this.#ready = true
          this.position ??= position ?? null
          this.#wake()
        },
      },
    )
  }

  subscribed(): Promise<void> {
    return this.until(() => this.#ready)
  }

  async until(holds: () => boolean): Promise<void> {
    const deadline = Date.now() + 20_000
    while (!holds()) {
      if (Date.now() > deadline) throw new Error(`it did not come: ${this.systems.join('; ')}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1_000)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  close(): void {
    this.#handle.close()
  }
}
