import type { JsonObject } from '@tidewire/protocol'
import pg from 'pg'
import { asRole, type TestChannel, type TestFeed } from './feed.ts'
import { createSql, policySql, valuesOf, type Person, type RlsCase, type Write } from './rls-case.ts'

let tables = 0
let policies = 0

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
          await player.supersede(it.sql, table, change)
          const expected = await player.expects(it.sql, table, change)
          const isLate = expected === false && player.mayComeLate(change)
          if (expected !== false || isLate)
            player.expected.push({
              change,
              versions: [{ text: textOf(change.type, change.row), shown: !isLate }],
              optional: expected !== true,
            })
        }
      }
      const { rows: states } = await it.sql.query<{ secured: boolean }>(
        `select relrowsecurity as secured from pg_class where oid = '${table}'::regclass`,
      )
      for (const player of players) await player.lookAgain(it.sql, table, states[0]!.secured)
      const before = marker.changes.length
      await it.sql.query('insert into marker default values')
      await marker.received(before + 1)
      for (const player of players) {
        compared += written.length
        const fault = await player.compare()
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
  /** What was written; of a deleted row its key. */
  readonly row: object
  /** The deleted row, as SQL. */
  readonly old?: string
  readonly wholeOld?: boolean
  readonly secured?: boolean
  /** The roles with policies that cannot be evaluated over a row that is gone: those that call functions which read tables. */
  readonly opaqueFor?: readonly string[]
}

interface Expected {
  readonly change: Written
  /** What may be delivered: the change itself, or the row as a later write left it before the change was decided. */
  readonly versions: Version[]
  /** The change was hidden when it was written, or planning may fail for the user: it may come if it was shown after one of the writes since. */
  readonly optional: boolean
}

interface Version {
  readonly text: string
  /** The user could see it at some moment. */
  shown: boolean
}

class Player {
  readonly channel: TestChannel
  readonly expected: Expected[] = []
  readonly #person: Person
  /**
   * Policies failed for this user before, or only Postgres can evaluate the filter. The feed decides these in isolation,
   * and so perhaps after a policy has changed: what was hidden at the write may come, if it is shown by then.
   */
  #isDecidedApart: boolean

  constructor(it: TestFeed, table: string, one: Person) {
    this.#person = one
    this.#isDecidedApart = one.filter?.text.includes('like') === true
    const entry = { event: one.event, schema: 'public', table, ...(one.filter === null ? {} : { filter: one.filter.text }) }
    this.channel = it.open({ entries: [entry], deletes: one.deletes, identity: asRole(one.role, one.claims) })
  }

  /** Asks Postgres as this user. */
  async expects(sql: pg.Client, table: string, change: Written): Promise<boolean | 'either'> {
    const { filter, event } = this.#person
    if (event !== '*' && event !== change.type) return false
    // Filters may look at the replica identity of a deleted row; under row level security only at its key, or at all of
    // it where it is delivered only to users who could see it.
    if (filter !== null) {
      const from = change.type === 'DELETE' ? `(values ${change.old}) v (id, owner, org, tag, n)` : `${table} where id = ${change.id}`
      const whole = change.wholeOld === true && (change.secured !== true || this.#person.deletes === 'authorized')
      if (change.type === 'DELETE' && !filter.keyOnly && !whole) return false
      if (!(await passes(sql, `select ${filter.sql} as yes from ${from}`))) return false
    }
    if (change.type === 'DELETE' && !this.#isAskedAbout(change)) return true
    if (change.type === 'DELETE' && (change.wholeOld !== true || change.opaqueFor?.includes(this.#person.role) === true)) return false
    const shown = await this.#shows(sql, table, change, false)
    if (shown === null) this.#isDecidedApart = true
    // Planning a statement may fail for a user for whom running it does not; then both answers are right.
    return shown ?? ((await this.#shows(sql, table, change, true)) === true ? 'either' : false)
  }

  mayComeLate(change: Written): boolean {
    return this.#isDecidedApart && (change.type !== 'DELETE' || (this.#isAskedAbout(change) && change.wholeOld === true))
  }

  #isAskedAbout({ secured }: Written): boolean {
    const { deletes, role } = this.#person
    return deletes === 'authorized' && secured === true && role !== 'service_role'
  }

  /** A deleted row is put back to ask for it. */
  #shows(sql: pg.Client, table: string, { id, old, type }: Written, planned: boolean): Promise<boolean | null> {
    const { role, claims } = this.#person
    const before = type === 'DELETE' ? `delete from ${table} where id = ${id}; insert into ${table} values ${old};` : ''
    return shows(sql, { table, key: id, role, claims: { role, ...claims }, before, planned })
  }

  /** A hidden change that is decided after a later write of its row is delivered as the check read the row, or as its key. */
  async supersede(sql: pg.Client, table: string, later: Written): Promise<void> {
    if (later.type === 'DELETE') return
    const { filter } = this.#person
    for (const { optional, change, versions } of this.expected)
      if (optional && change.id === later.id && change.type !== 'DELETE') {
        const isWhole = filter === null || (await passes(sql, `select ${filter.sql} as yes from ${table} where id = ${later.id}`))
        versions.push({ text: textOf(change.type, isWhole ? later.row : { id: later.id }), shown: false })
      }
  }

  /**
   * The feed may decide about what was hidden after any of the writes, and so in any of the states that they left. Without row
   * security no policy refuses what was written before, though the row is gone.
   */
  async lookAgain(sql: pg.Client, table: string, isSecured: boolean): Promise<void> {
    for (const { optional, change, versions } of this.expected) {
      const [own, latest] = [versions[0]!, versions.at(-1)!]
      if (!optional || (own.shown && latest.shown)) continue
      if (!isSecured || (await this.#shows(sql, table, change, true)) === true) own.shown = latest.shown = true
    }
  }

  /** Those whose policies fail are decided in isolation, so theirs may come a little later. */
  async compare(): Promise<string | null> {
    const deadline = Date.now() + 3_000
    let versions = this.#matched()
    while (versions === null && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 5))
      versions = this.#matched()
    }
    for (const { text, shown } of versions ?? []) if (!shown) return this.#fault(`${text}, which is hidden`)
    return versions === null ? this.#fault(JSON.stringify(this.expected)) : null
  }

  #fault(what: string): string {
    return `${JSON.stringify(this.#person)} saw ${this.#seen().join() || 'nothing'}, not ${what}`
  }

  /** The versions that were seen, with as few hidden ones as explain it; `null` when something is missing or too much. */
  #matched(): Version[] | null {
    return explained(this.expected, this.#seen())
  }

  #seen(): string[] {
    return this.channel.changes.map(({ data }) => textOf(data.type, data.record ?? { id: data.old_record?.['id'] }))
  }
}

function explained(expected: readonly Expected[], seen: readonly string[]): Version[] | null {
  const [first, ...rest] = expected
  if (first === undefined) return seen.length === 0 ? [] : null
  const ways: Version[][] = []
  const without = first.optional ? explained(rest, seen) : null
  if (without !== null) ways.push(without)
  for (const version of first.versions.filter(({ text }) => text === seen[0])) {
    const others = explained(rest, seen.slice(1))
    if (others !== null) ways.push([version, ...others])
  }
  return ways.toSorted((one, other) => hiddenIn(one) - hiddenIn(other))[0] ?? null
}

function hiddenIn(versions: readonly Version[]): number {
  return versions.filter(({ shown }) => !shown).length
}

function textOf(type: string, row: object): string {
  return `${type} ${JSON.stringify(row)}`
}

interface Question {
  readonly table: string
  readonly key: number
  readonly role: string
  readonly claims: JsonObject
  /** SQL to be run first, and undone with the rest. */
  readonly before: string
  /** The statement was planned without an identity before. */
  readonly planned: boolean
}

/** Whether Postgres shows the row to this user; `null`: it fails. In one round trip where it does not fail. */
async function shows(sql: pg.Client, { table, key, role, claims, before, planned }: Question): Promise<boolean | null> {
  const become = (who: JsonObject): string =>
    `select set_config('request.jwt.claims', ${pg.escapeLiteral(JSON.stringify(who))}, true), set_config('role', '${role}', true)`
  const prepare = `begin; set local enable_seqscan = off; set local plan_cache_mode = force_generic_plan; ${before}
    ${become(planned ? {} : claims)}; prepare look (int) as select from ${table} where id = $1`
  const done = 'rollback; deallocate all'
  try {
    if (!planned) return lastOf(await sql.query(`${prepare}; execute look (${key}); ${done}`), 2) === 1
    await sql.query(`${prepare}; savepoint planning`)
    await sql.query('execute look (-1)').catch(() => sql.query('rollback to savepoint planning'))
    return lastOf(await sql.query(`${become(claims)}; execute look (${key}); ${done}`), 2) === 1
  } catch {
    await sql.query(done)
    return null
  }
}

/** How many rows the last statement but `after` answered. */
function lastOf(results: unknown, after: number): number | null {
  return (results as pg.QueryResult[]).at(-1 - after)!.rowCount
}

async function passes(sql: pg.Client, query: string): Promise<boolean> {
  return (await sql.query<{ yes: boolean | null }>(query)).rows[0]?.yes === true
}

interface WrittenRow {
  readonly row: object
}

async function apply(sql: pg.Client, table: string, one: Write): Promise<Written[]> {
  switch (one.kind) {
    case 'insert': {
      const { rows } = await sql.query<WrittenRow>(
        `insert into ${table} as t values ($1, $2, $3, $4, $5) on conflict do nothing returning to_jsonb(t) as row`,
        [one.id, ...valuesOf(one.row)],
      )
      return rows.map(({ row }) => ({ type: 'INSERT', id: one.id, row }))
    }
    case 'update': {
      const { rows } = await sql.query<WrittenRow>(
        `update ${table} t set owner = $2, org = $3, tag = $4, n = $5 where id = $1 returning to_jsonb(t) as row`,
        [one.id, ...valuesOf(one.row)],
      )
      return rows.map(({ row }) => ({ type: 'UPDATE', id: one.id, row }))
    }
    case 'move': {
      const { rows } = await sql.query<WrittenRow>(
        `update ${table} t set id = $2 where id = $1 and not exists (select from ${table} where id = $2) returning to_jsonb(t) as row`,
        [one.id, one.to],
      )
      return rows.map(({ row }) => ({ type: 'UPDATE', id: one.to, row }))
    }
    case 'delete': {
      const { rows } = await sql.query<{ old: string; whole: boolean; secured: boolean; opaque: string[] }>(
        `delete from ${table} using pg_class c where id = $1 and c.oid = $2::regclass returning
           format('(%s, %L::uuid, %s, %L::text, %s)', id, owner, org, tag, n) as old,
           relreplident = 'f' as whole, relrowsecurity as secured,
           array(select r.rolname::text from pg_roles r, pg_policy p where p.polrelid = c.oid and r.rolname in ('anon', 'authenticated')
             and (0 = any(p.polroles) or r.oid = any(p.polroles)) and pg_get_expr(p.polqual, p.polrelid) ~ 'sees_org|raises_for') as opaque`,
        [one.id, table],
      )
      return rows.map(({ old, whole, secured, opaque }) => {
        const change = { type: 'DELETE' as const, id: one.id, row: { id: one.id } }
        return { ...change, old, wholeOld: whole, secured, opaqueFor: opaque }
      })
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
