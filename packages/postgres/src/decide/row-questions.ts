import type { CheckIdentity } from '../catalog/identity.ts'
import { append, getOrMake, groupBy } from '../catalog/multimap.ts'
import type { CatalogTable } from '../catalog/catalog-table.ts'
import { imageOf, oldRowText, primaryKeyTexts, publishedColumns } from '../replication/change-row.ts'
import type { Table } from '../replication/table.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { deletesWithheld } from '../subscribe/request/changes-fault.ts'
import type { PendingDelivery } from '../subscribe/audience.ts'
import type { DecisionFault } from './decision.ts'
import type { CheckAnswer, Grant, RowCheck } from './feed-database.ts'

interface Asked {
  readonly delivery: PendingDelivery
  readonly rows: readonly RowChange[]
}

/** Rows of one version of a table that identities of one role want to see. */
export class RowQuestion {
  readonly entry: CatalogTable
  readonly role: string
  readonly table: Table
  readonly rows: readonly RowChange[]
  readonly identities: { readonly identity: CheckIdentity; readonly rows: readonly number[] }[] = []
  /** By identity. */
  readonly #asked: readonly (readonly Asked[])[]

  constructor({ entry, role }: { readonly entry: CatalogTable; readonly role: string }, table: Table, asked: readonly Asked[]) {
    this.entry = entry
    this.role = role
    this.table = table
    const numbers = new Map<RowChange, number>()
    // Audiences without filters share their list of rows.
    const known = new Map<readonly RowChange[], readonly number[]>()
    const numbersOf = (rows: readonly RowChange[]): readonly number[] =>
      getOrMake(known, rows, () => rows.map((row) => getOrMake(numbers, row, () => numbers.size)))
    const byIdentity = groupBy(asked, ({ delivery }) => delivery.audience.identity!)
    this.#asked = [...byIdentity.values()]
    for (const [identity, ofIdentity] of byIdentity) {
      const [first, ...others] = ofIdentity
      const rows = numbersOf(first!.rows)
      this.identities.push({
        identity,
        rows: others.length === 0 ? rows : [...new Set(ofIdentity.flatMap((each) => numbersOf(each.rows)))],
      })
    }
    this.rows = [...numbers.keys()]
  }

  get deliveries(): readonly PendingDelivery[] {
    return [...new Set(this.#asked.flatMap((asked) => asked.map(({ delivery }) => delivery)))]
  }

  get xids(): readonly number[] {
    return [...new Set(this.rows.map(({ transaction }) => transaction.xid))]
  }

  /** The question of the new rows. */
  get check(): Omit<RowCheck, 'waits'> {
    const { entry, role, table, rows, identities, xids } = this
    const columns = publishedColumns(table)
    const images = rows.map((row) => imageOf(row, columns))
    return { entry, role, identities, xids, columns, images, keys: rows.map((row) => primaryKeyTexts(row)!) }
  }

  /** The old rows, as texts of the table's row type. */
  get oldTexts(): readonly string[] {
    return this.rows.map((row) => oldText(this.entry, row)!)
  }

  /** The same in two parts: by rows, or by identities where there is one row; empty: it cannot be divided. */
  halves(): RowQuestion[] {
    const asked = this.#asked.flat()
    if (this.rows.length > 1) {
      const first = new Set(this.rows.slice(0, this.rows.length >> 1))
      const part = (isFirst: boolean): Asked[] =>
        asked
          .map(({ delivery, rows }) => ({ delivery, rows: rows.filter((row) => first.has(row) === isFirst) }))
          .filter(({ rows }) => rows.length > 0)
      return [new RowQuestion(this, this.table, part(true)), new RowQuestion(this, this.table, part(false))]
    }
    if (this.#asked.length < 2) return []
    const middle = this.#asked.length >> 1
    return [this.#asked.slice(0, middle), this.#asked.slice(middle)].map((half) => new RowQuestion(this, this.table, half.flat()))
  }

  /** Passes on what was granted, and adds what failed. */
  answered(answer: CheckAnswer, faults: DecisionFault[], grant: (delivery: PendingDelivery, row: RowChange, grant: Grant) => void): void {
    for (const [index, asked] of this.#asked.entries()) {
      const one = answer.identities[index]
      if (one === undefined) continue
      if (one.ok)
        for (const { delivery, rows } of asked) {
          const own = asked.length === 1 ? null : new Set(rows)
          for (const [number, granted] of one.visible) {
            const row = this.rows[number]!
            if (own === null || own.has(row)) grant(delivery, row, granted)
          }
        }
      if (one.ok && one.fault === undefined) continue
      const deliveries = asked.map(({ delivery }) => delivery)
      faults.push({ kind: 'policy', message: one.ok ? one.fault! : one.message, timedOut: !one.ok && one.timedOut, deliveries })
    }
  }
}

/** All questions of one decision: one for each version of a table and role. */
export class RowQuestions {
  /** By entry, the roles that get something of it without a check of rows. */
  readonly #unchecked = new Map<CatalogTable, Set<string>>()
  readonly #uncheckedXids = new Set<number>()
  readonly #fresh: Asked[] = []
  readonly #deleted: Asked[] = []
  readonly #kinds = new Map<readonly RowChange[], { readonly fresh: readonly RowChange[]; readonly deleted: readonly RowChange[] }>()

  /** Asks for the rows that policies decide about, and calls `free` with the others. False: rows of it cannot be asked for. */
  ask(delivery: PendingDelivery, free: (row: RowChange) => void): boolean {
    const { audience, rows } = delivery
    const { fresh, deleted } = getOrMake(this.#kinds, rows, () => ({
      fresh: rows.filter(({ action }) => action !== 'DELETE'),
      deleted: rows.filter(({ action }) => action === 'DELETE'),
    }))
    const pass = (some: readonly RowChange[]): void => {
      some.forEach(free)
      // Nothing but an error is delivered.
      if (audience.fault !== 'unauthorized' && some.length > 0) this.#passes(delivery, some)
    }
    if (audience.identity === null || audience.fault === 'unauthorized') {
      pass(rows)
      return true
    }
    if (audience.fault === null)
      addAsked(this.#fresh, delivery, fresh, (row) => primaryKeyTexts(row)?.length === audience.entry.primaryKey.length)
    else pass(fresh)
    if (!audience.authorizesDeletes) {
      pass(deleted)
      return true
    }
    const isWithheld = deletesWithheld(audience.entry, audience.role) !== null
    return addAsked(this.#deleted, delivery, deleted, (row) => !isWithheld && oldText(audience.entry, row) !== null)
  }

  get unchecked(): {
    readonly pairs: readonly { readonly entry: CatalogTable; readonly role: string }[]
    readonly xids: ReadonlySet<number>
  } {
    const pairs = [...this.#unchecked].flatMap(([entry, roles]) => [...roles].map((role) => ({ entry, role })))
    return { pairs, xids: this.#uncheckedXids }
  }

  fresh(): RowQuestion[] {
    return questionsOf(this.#fresh)
  }

  deleted(): RowQuestion[] {
    return questionsOf(this.#deleted)
  }

  /** The old rows of those UPDATEs that hold them whole and were `granted`. */
  updated(granted: (delivery: PendingDelivery, row: RowChange) => boolean): RowQuestion[] {
    const isReadFromRow = ({ audience: { entry, role } }: PendingDelivery): boolean => entry.roles.get(role)?.scope === 'row'
    const isUpdated = (delivery: PendingDelivery, row: RowChange): boolean =>
      row.action === 'UPDATE' && row.old?.extent === 'full' && granted(delivery, row) && oldText(delivery.audience.entry, row) !== null
    const asked: Asked[] = []
    for (const { delivery, rows } of this.#fresh)
      if (isReadFromRow(delivery)) addAsked(asked, delivery, rows, (row) => isUpdated(delivery, row))
    return questionsOf(asked)
  }

  #passes({ audience }: PendingDelivery, rows: readonly RowChange[]): void {
    getOrMake(this.#unchecked, audience.entry, () => new Set<string>()).add(audience.role)
    for (const { transaction } of rows) this.#uncheckedXids.add(transaction.xid)
  }
}

/** Asks for the rows that `isKnown` accepts. True: for all of them. Lists that are shared between deliveries stay shared. */
function addAsked(asked: Asked[], delivery: PendingDelivery, all: readonly RowChange[], isKnown: (row: RowChange) => boolean): boolean {
  const rows = all.filter(isKnown)
  if (rows.length > 0) asked.push({ delivery, rows: rows.length === all.length ? all : rows })
  return rows.length === all.length
}

function questionsOf(asked: readonly Asked[]): RowQuestion[] {
  const divided = new Map<readonly RowChange[], Map<Table, readonly RowChange[]>>()
  const groups = new Map<CatalogTable, Map<string, Map<Table, Asked[]>>>()
  for (const { delivery, rows } of asked) {
    const { entry, role } = delivery.audience
    const ofRole = getOrMake(
      getOrMake(groups, entry, () => new Map<string, Map<Table, Asked[]>>()),
      role,
      () => new Map<Table, Asked[]>(),
    )
    const byTable = getOrMake(divided, rows, () => groupBy(rows, ({ table }) => table))
    for (const [table, ofTable] of byTable) append(ofRole, table, { delivery, rows: ofTable })
  }
  return [...groups].flatMap(([entry, roles]) =>
    [...roles].flatMap(([role, tables]) => [...tables].map(([table, of]) => new RowQuestion({ entry, role }, table, of))),
  )
}

/** `null`: the log does not hold all of the old row. */
function oldText(entry: CatalogTable, row: RowChange): string | null {
  return entry.replicaIdentityFull
    ? oldRowText(
        row,
        entry.columns.map(({ name }) => name),
      )
    : null
}
