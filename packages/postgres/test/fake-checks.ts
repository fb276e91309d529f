/** Audiences, changes and checks in memory, for tests of single steps of a row change. */
import { asRole } from './feed.ts'
import { BUILTIN_TYPES } from '../src/replication/pgoutput/column-value.ts'
import { Tuple } from '../src/replication/pgoutput/tuple.ts'
import { describeTable, type Table } from '../src/replication/table.ts'
import type { RowChange } from '../src/replication/transaction-assembler.ts'
import type { CatalogColumn, CatalogTable, TableRole } from '../src/catalog/catalog-table.ts'
import type { CheckAnswer, IdentityAnswer, RowChecks } from '../src/decide/feed-database.ts'
import { decide } from '../src/decide/decide.ts'
import type { Decision } from '../src/decide/decision.ts'
import type { Audience, PendingDelivery, Subscription } from '../src/subscribe/audience.ts'
import { FeedChannel } from '../src/subscribe/feed-channel.ts'
import { prepareFilter, type PreparedFilter } from '../src/subscribe/prepared-filter.ts'

const COLUMNS = ['id', 'body'] as const

export interface TableOptions {
  readonly oid?: number
  readonly rowSecurity?: boolean
  readonly replicaIdentityFull?: boolean
  readonly scope?: TableRole['scope']
}

/** `id int4 primary key, body text`, as the catalog describes it. */
export function catalogTable(options: TableOptions = {}): CatalogTable {
  const { oid = 1, rowSecurity = true, replicaIdentityFull = false, scope = 'row' } = options
  const columns = COLUMNS.map((name, index): CatalogColumn => ({
    ...{ name, number: index + 1, typeOid: index === 0 ? 23 : 25, baseOid: index === 0 ? 23 : 25, typeName: name, typeSql: name },
    ...{
      category: 'S',
      isEnum: false,
      generated: false,
      collation: null,
      deterministic: true,
      rolesWithSelect: new Set(['user', 'other']),
    },
  }))
  const role: TableRole = {
    version: '1',
    groups: [],
    usesSchema: true,
    readsCtid: true,
    superuser: false,
    bypassesRowSecurity: false,
    scope,
  }
  const roles = new Map([
    ['user', role],
    ['other', role],
  ])
  return {
    ...{ oid, schema: 'public', name: `t${oid}`, rowSecurity, partitioned: false, replicaIdentityFull },
    ...{ columns, primaryKey: columns.slice(0, 1), claims: 'all', ownerColumns: new Map(), roles, reach: { tables: [oid], functions: [] } },
  }
}

/** The same table as the stream describes it. */
export function streamTable({ oid, name, rowSecurity, replicaIdentityFull }: CatalogTable): Table {
  const columns = COLUMNS.map((column, at) => ({
    ...{ name: column, key: at === 0 || replicaIdentityFull, typeOid: at === 0 ? 23 : 25 },
  }))
  const facts = columns.map((column, at) => ({ name: column.name, number: at + 1, generated: false, typeOid: column.typeOid }))
  return describeTable(
    { kind: 'relation', oid, schema: 'public', table: name, replicaIdentity: replicaIdentityFull ? 'full' : 'default', columns },
    { rowSecurity, columns: facts, primaryKey: [1] },
    new Map([...BUILTIN_TYPES].map(([typeOid, type]) => [typeOid, { name: type.kind, type }])),
  )
}

/** A change of a row; `old` and `now` are the texts of its columns. */
export function change(table: Table, xid: number, row: { readonly old?: readonly string[]; readonly now?: readonly string[] }): RowChange {
  const { old, now } = row
  return {
    action: now === undefined ? 'DELETE' : old === undefined ? 'INSERT' : 'UPDATE',
    ...{ table, transaction: { commitLsn: BigInt(xid), commitTime: 0n, xid }, seq: 0 },
    newTuple: now === undefined ? null : Tuple.of(now),
    old: old === undefined ? null : { extent: table.columns.every(({ identity }) => identity) ? 'full' : 'key', tuple: Tuple.of(old) },
  }
}

/** An audience of one channel. `sub`: whose policies decide; `null`: none do. */
export function audience(table: CatalogTable, sub: string | null, rest: Partial<Audience> = {}): Audience {
  const role = rest.role ?? 'user'
  const identity = sub === null ? null : { key: `${role} ${sub}`, id: 0, role, claims: JSON.stringify({ sub }) }
  const made: Audience = {
    ...{ table, role, identity, event: '*', filters: [], authorizesDeletes: false, fault: null, owner: null },
    ...{ lookup: null, members: new Set(), ...rest },
  }
  const request = {
    subTopic: '',
    identity: asRole(role),
    positions: false,
    since: null,
    deletes: 'all',
    legacy: false,
    entries: [],
  } as const
  const channel = new FeedChannel(request, [], { change: () => {}, system: () => {} }, () => {})
  const entry = { id: 1, event: '*', schema: 'public', table: table.name, filters: [], select: null } as const
  const subscription: Subscription = {
    channel,
    entry,
    order: 0,
    oid: table.oid,
    tableName: table.name,
    select: null,
    filters: made.filters,
    columns: '1,2',
    audience: made,
  }
  made.members.add(subscription)
  return made
}

/** A filter on `body` that only Postgres can evaluate, or one on `id` that needs no question. */
export function filter(table: CatalogTable, column: 'id' | 'body', op: 'like' | 'eq', value: string, negate = false): PreparedFilter {
  const found = table.columns.find(({ name }) => name === column)!
  return prepareFilter({ column, op, value, negate }, found, [value])
}

/** Every row is shown with its content, unless a test says otherwise. Records its calls. */
export class FakeChecks implements RowChecks {
  readonly calls: { readonly name: keyof RowChecks; readonly asked: never }[] = []
  answers: Partial<RowChecks> = {}

  readonly testFilters: RowChecks['testFilters'] = (check) =>
    this.#answer('testFilters', check, ({ operands, texts }) =>
      operands.map(([operand]) => ({
        ok: true,
        matches: new Set(texts.flatMap((text, at) => (text?.startsWith(operand!.replace('%', '')) === true ? [at] : []))),
      })),
    )
  readonly checkRows: RowChecks['checkRows'] = (check) => this.#answer('checkRows', check, ({ identities }) => shown(identities, 'image'))
  readonly checkOldRows: RowChecks['checkOldRows'] = (check) =>
    this.#answer('checkOldRows', check, ({ identities }) => shown(identities, 'image'))
  readonly checkVersions: RowChecks['checkVersions'] = (check) => this.#answer('checkVersions', check, ({ pairs }) => pairs.map(() => true))
  readonly jsonOf: RowChecks['jsonOf'] = (question) =>
    this.#answer('jsonOf', question, ({ texts }) => texts.map((text) => JSON.stringify(text)))
  readonly computed: RowChecks['computed'] = (question) => this.#answer('computed', question, () => new Map())
  readonly generated: RowChecks['generated'] = () => Promise.resolve(new Map())

  /** What was asked, by the name of the call. */
  asked<Name extends Exclude<keyof RowChecks, 'generated'>>(name: Name): Parameters<RowChecks[Name]>[0][] {
    return this.calls.filter((call) => call.name === name).map(({ asked }) => asked)
  }

  async #answer<Question, Answer>(name: keyof RowChecks, asked: Question, answer: (asked: Question) => Answer): Promise<Answer> {
    this.calls.push({ name, asked: asked as never })
    await Promise.resolve()
    const other = this.answers[name] as ((asked: Question) => Promise<Answer>) | undefined
    return other === undefined ? answer(asked) : other(asked)
  }
}

/** All rows that were asked for, to all identities. */
export function shown(identities: readonly { readonly rows: readonly number[] }[], grant: 'image' | 'key'): CheckAnswer {
  return {
    current: true,
    identities: identities.map(({ rows }): IdentityAnswer => ({ ok: true, visible: new Map(rows.map((row) => [row, grant])) })),
  }
}

export function databaseError(code: string): Error {
  return Object.assign(new Error('refused'), { code })
}

/** Audiences with a filter that only Postgres can evaluate ask. */
export function run(
  wanted: readonly Omit<PendingDelivery, 'asks'>[],
  checks: FakeChecks = new FakeChecks(),
  mayBeStale: (oid: number) => boolean = () => false,
): Promise<Decision> {
  const asks = ({ audience: { filters, fault } }: Omit<PendingDelivery, 'asks'>): boolean =>
    fault === null && filters.some(({ test }) => test === null)
  return decide(
    wanted.map((each) => Object.assign(each, { asks: asks(each) })),
    { database: checks, waits: true, mayBeStale },
  )
}

/** By row, what the audience gets: its record and its old row. */
export function got({ decided }: Decision, of: Audience): [unknown, unknown][] {
  return [...decided.values()].flatMap((granted) =>
    [...granted].flatMap(([{ audience }, { record, old }]): [unknown, unknown][] => (audience === of ? [[record, old]] : [])),
  )
}

export function rowsOf({ decided }: Decision, of: Audience): RowChange[] {
  return [...decided].flatMap(([row, granted]) => ([...granted.keys()].some(({ audience }) => audience === of) ? [row] : []))
}
