/** The whole feed in one process: a database port that is made of tables in memory, and a source that is written to by hand. */
import type { ChangeRequest, Identity } from '@tidewire/server'
import { PostgresChangeFeed } from '../src/change-feed.ts'
import type { FeedOptions } from '../src/feed-options.ts'
import type { CatalogPort } from '../src/catalog/catalog-port.ts'
import type { CatalogColumn, CatalogTable } from '../src/catalog/catalog-table.ts'
import type { FeedDatabase, IdentityAnswer, RowCheck, RowChecks } from '../src/decide/feed-database.ts'
import type { FeedRuntime } from '../src/feed-runtime.ts'
import { BUILTIN_TYPES, type ValueType } from '../src/replication/pgoutput/column-value.ts'
import { Tuple } from '../src/replication/pgoutput/tuple.ts'
import { describeTable, type Table } from '../src/replication/table.ts'
import type { RowChange } from '../src/replication/transaction-assembler.ts'
import { asRole, type ChangeMessage, type SystemMessage } from './feed.ts'

export interface FakeColumn {
  readonly name: string
  readonly type?: 'int4' | 'text' | 'cast'
}

export interface FakeTable {
  readonly oid: number
  readonly name: string
  /** The first is the primary key. */
  readonly columns: readonly FakeColumn[]
  /** Who sees a row, by the texts of its columns; `null`: no row security. */
  readonly policy?: ((sub: string, row: Readonly<Record<string, string | null>>) => boolean | 'too slow') | null
}

const TYPES = { int4: 23, text: 25, cast: 90_001 } as const

/** A table of which each user sees the rows of their own. */
export function ownRows(oid: number): FakeTable {
  return {
    oid,
    name: 'own',
    columns: [{ name: 'id' }, { name: 'owner' }, { name: 'body' }],
    policy: (sub, { owner }) => owner === sub,
  }
}

/** Time that passes `factor` times as fast. */
export function fastRuntime(factor: number): FeedRuntime {
  return {
    uptime: () => performance.now() * factor,
    setTimer: (callback, afterMs) => {
      const timer = setTimeout(callback, afterMs / factor)
      return { cancel: () => clearTimeout(timer) }
    },
    endOfTurn: (callback) => void setImmediate(callback),
    random: () => 0,
  }
}

/** What becomes of a call of the port, before it is answered. `oids`: the tables that are looked up. */
export type Interception = (name: string, oids: readonly number[]) => Promise<void> | void

export class FakeDatabase {
  readonly tables: Map<number, FakeTable> = new Map()
  published: Set<number> = new Set()
  /** Roles that tokens may not take. */
  readonly forbidden: Set<string> = new Set()
  /** Tables whose schema no role may use. */
  readonly noUsage: Set<number> = new Set()
  /** Types that no value of a filter can be cast to. */
  readonly uncastable: Set<FakeColumn['type']> = new Set()
  /** Counts up with every change of a table. */
  readonly versions: Map<number, number> = new Map()
  readonly calls: string[] = []
  intercept: Interception = () => {}
  lsn = 100n

  add(table: FakeTable): void {
    this.tables.set(table.oid, table)
    this.published.add(table.oid)
    this.versions.set(table.oid, (this.versions.get(table.oid) ?? 0) + 1)
  }

  port(): FeedDatabase {
    const checks = (prefix: string): RowChecks => ({
      testFilters: (check) =>
        this.#answer(`${prefix}testFilters`, () =>
          check.operands.map(([operand]) => {
            const pattern = new RegExp(`^${operand!.replaceAll('%', '.*')}$`)
            const matches = check.texts.flatMap((text, index) => (text !== null && pattern.test(text) ? [index] : []))
            return { ok: true as const, matches: new Set(matches) }
          }),
        ),
      checkRows: (check) =>
        this.#answer(`${prefix}checkRows`, () => ({ current: this.#isCurrent(check.table), identities: this.#seen(check) })),
      checkOldRows: (check) =>
        this.#answer(`${prefix}checkOldRows`, () => ({
          current: true,
          identities: check.identities.map(() => ({ ok: true as const, visible: new Map() })),
        })),
      checkVersions: ({ pairs }) => this.#answer(`${prefix}checkVersions`, () => pairs.map(({ table }) => this.#isCurrent(table))),
      jsonOf: ({ texts }) => this.#answer(`${prefix}jsonOf`, () => texts.map((text) => JSON.stringify({ cast: text }))),
      computed: () => this.#answer(`${prefix}computed`, () => new Map()),
      generated: () => this.#answer(`${prefix}generated`, () => new Map()),
    })
    const catalog: CatalogPort = {
      publishedTables: () =>
        this.#answer('publishedTables', () =>
          [...this.published].map((oid) => ({ oid, schema: 'public', name: this.tables.get(oid)!.name })),
        ),
      unpublishedTable: () => this.#answer('unpublishedTable', () => ({ publication: 'p', table: null })),
      role: (name) => this.#answer('role', () => ({ name, exists: true, allowed: !this.forbidden.has(name), bypassesRowSecurity: false })),
      tables: (oids, roles) =>
        this.#answer(
          'tables',
          () => new Map(oids.flatMap((oid) => (this.tables.has(oid) ? [[oid, this.catalogTable(oid, roles)] as const] : []))),
          oids,
        ),
      castFilter: (filter, { typeName }) =>
        this.#answer('castFilter', () =>
          this.uncastable.has(typeName as 'text') ? { ok: false, text: 'no such value' } : { ok: true, value: [String(filter.value)] },
        ),
      insertLsn: () => this.#answer('insertLsn', () => this.lsn),
      flushLsn: () => this.#answer('flushLsn', () => this.lsn),
    }
    return { catalog, checks: checks(''), isolated: checks('isolated.') }
  }

  catalogTable(oid: number, roles: readonly string[]): CatalogTable {
    const table = this.tables.get(oid)!
    const columns = table.columns.map(({ name, type = 'text' }, index): CatalogColumn => ({
      ...{ name, number: index + 1, typeOid: TYPES[type], baseOid: TYPES[type], typeName: type, typeSql: type },
      ...{
        category: type === 'text' ? 'S' : 'N',
        isEnum: false,
        collation: null,
        deterministic: true,
        generated: false,
        rolesWithSelect: new Set(roles),
      },
    }))
    const access = {
      version: String(this.versions.get(oid)),
      groups: [],
      usesSchema: !this.noUsage.has(oid),
      readsCtid: true,
      superuser: false,
      bypassesRowSecurity: false,
      scope: 'row' as const,
    }
    return {
      ...{ oid, schema: 'public', name: table.name, rowSecurity: Boolean(table.policy), partitioned: false, replicaIdentityFull: false },
      ...{ columns, primaryKey: columns.slice(0, 1), claims: 'all', ownerColumns: new Map() },
      ...{ roles: new Map(roles.map((role) => [role, access])), reach: { tables: [oid], functions: [] } },
    }
  }

  #isCurrent({ oid, roles }: CatalogTable): boolean {
    return [...roles.values()].every(({ version }) => version === String(this.versions.get(oid)))
  }

  #seen({ table, columns, images, identities }: RowCheck): IdentityAnswer[] {
    const { policy } = this.tables.get(table.oid)!
    return identities.map(({ identity, rows }): IdentityAnswer => {
      const { sub } = JSON.parse(identity.claims) as { sub?: string }
      const answers = rows.map((row) => {
        const texts = columns.map((number, index) => [table.columns[number - 1]!.name, images[row]![index] ?? null] as const)
        return policy!(sub ?? '', Object.fromEntries(texts))
      })
      if (answers.includes('too slow')) return { ok: false, message: 'canceled', timedOut: true }
      return { ok: true, visible: new Map(rows.flatMap((row, index) => (answers[index] === true ? [[row, 'image'] as const] : []))) }
    })
  }

  async #answer<T>(name: string, answer: () => T, oids: readonly number[] = []): Promise<T> {
    this.calls.push(name)
    await this.intercept(name, oids)
    return answer()
  }
}

export interface FakeChannel {
  readonly changes: ChangeMessage['data'][]
  readonly systems: SystemMessage[]
  readonly isReady: boolean
  close(): void
  setIdentity(identity: Identity): void
}

export class FakeFeed {
  readonly database: FakeDatabase
  readonly feed: PostgresChangeFeed
  readonly faults: string[] = []
  readonly #described = new Map<number, { readonly version: number; readonly table: Table }>()
  #xid = 1

  constructor(database: FakeDatabase, runtime: FeedRuntime, options: Partial<FeedOptions> = {}) {
    this.database = database
    this.feed = new PostgresChangeFeed(database.port(), runtime, {
      ...{
        resumeWindowMs: 1_000_000_000,
        resumeWindowBytes: 1_000_000_000,
        maxWalBytes: 1_000_000_000,
        positionIntervalMs: 1e9,
        refreshIntervalMs: 1e9,
        resumeTimeoutMs: 60_000,
        stuckAfterMs: 1e9,
        hasRelay: false,
      },
      onFault: ({ kind, table, message }) => this.faults.push(`${kind} ${table} ${message}`),
      ...options,
    })
    this.feed.attach({
      ...{ epoch: 'e1', confirmedLsn: 1n, serverLsn: 1n, peers: [], status: { kind: 'streaming' } },
      ...{ confirm: () => {}, pause: () => {}, resume: () => {} },
    })
    this.feed.onEpoch({ epoch: 'e1', previous: null, reason: 'found', isOtherLog: false })
  }

  open(
    request: Partial<Omit<ChangeRequest, 'entries'>> & { readonly entries: readonly object[] },
    onChange: () => void = () => {},
  ): FakeChannel {
    const changes: ChangeMessage['data'][] = []
    const systems: SystemMessage[] = []
    const entries = request.entries.map((entry, index) => ({ id: index + 1, entry }))
    const handle = this.feed.open(
      {
        ...{ subTopic: 'test', identity: asRole('anon'), positions: false, since: null, deletes: 'all', legacy: false },
        ...request,
        entries,
      },
      {
        change: (_event, payload) => {
          changes.push((JSON.parse(Buffer.from(payload).toString()) as ChangeMessage).data)
          onChange()
        },
        system: (status, message, extra) => void systems.push({ status, message, ...(extra === undefined ? {} : { extra }) }),
      },
    )
    return {
      ...{ changes, systems },
      get isReady() {
        return systems.some(({ message }) => message === 'Subscribed to PostgreSQL')
      },
      close: () => handle.close(),
      setIdentity: (identity) => handle.setIdentity(identity),
    }
  }

  /** One transaction that inserts rows, each with the texts of its columns. */
  commit(rows: readonly { readonly oid: number; readonly texts: readonly (string | null)[] }[], commitTime = 0n): void {
    const commitLsn = (this.database.lsn += 10n)
    const transaction = { commitLsn, commitTime, xid: this.#xid++ }
    const changes = rows.map(({ oid, texts }, seq): RowChange => {
      return { action: 'INSERT', table: this.#table(oid), transaction, seq, newTuple: Tuple.of(texts), old: null }
    })
    this.feed.onChanges(changes)
    this.feed.onProgress(commitLsn + 1n)
  }

  close(): void {
    this.feed.close()
  }

  /** As the stream describes it: again after every change. */
  #table(oid: number): Table {
    const version = this.database.versions.get(oid)!
    const known = this.#described.get(oid)
    if (known?.version === version) return known.table
    const { name, columns, policy } = this.database.tables.get(oid)!
    const types = new Map<number, { name: string; type: ValueType }>([
      ...[...BUILTIN_TYPES].map(([typeOid, type]) => [typeOid, { name: type.kind, type }] as const),
      [TYPES.cast, { name: 'cast', type: { kind: 'cast', name: 'cast' } }],
    ])
    const relation = columns.map((column, index) => ({
      name: column.name,
      key: index === 0,
      typeOid: TYPES[column.type ?? 'text'],
    }))
    const table = describeTable(
      { kind: 'relation', oid, schema: 'public', table: name, replicaIdentity: 'default', columns: relation },
      {
        rowSecurity: Boolean(policy),
        columns: relation.map((column, index) => ({ name: column.name, number: index + 1, generated: false, typeOid: column.typeOid })),
        primaryKey: [1],
      },
      types,
    )
    this.#described.set(oid, { version, table })
    return table
  }
}

/** Until it holds. */
export async function until(holds: () => boolean, what: () => unknown, deadlineMs = 5_000): Promise<void> {
  const deadline = Date.now() + deadlineMs
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`did not come: ${JSON.stringify(what())}`)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}
