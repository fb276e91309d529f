import type { CheckIdentity } from '../catalog/identity.ts'
import { halvesOf } from '../catalog/halves.ts'
import { append, getOrMake, groupBy } from '../catalog/multimap.ts'
import type { CatalogTable } from '../catalog/catalog-table.ts'
import { imageOf, oldRowText, primaryKeyTexts, publishedColumns } from '../replication/change-row.ts'
import type { Table } from '../replication/table.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { deletesWithheld } from '../subscribe/request/changes-fault.ts'
import type { PendingDelivery } from '../subscribe/audience.ts'
import type { DecisionFault } from './decision.ts'
import type { CheckAnswer, Grant, RowCheck } from './feed-database.ts'

/** Rows of a delivery that are asked about alike. */
export interface Asked {
  readonly delivery: PendingDelivery
  readonly rows: readonly RowChange[]
}

/** The questions that deliveries have for Postgres. */
export interface Questions {
  /** Rows that no policy decides about. */
  readonly free: readonly Asked[]
  /** Written rows: Postgres looks them up by their keys. */
  readonly fresh: readonly Asked[]
  readonly deleted: readonly Asked[]
}

export function questionsOf(pending: readonly PendingDelivery[]): Questions {
  const [free, fresh, deleted]: [Asked[], Asked[], Asked[]] = [[], [], []]
  // Audiences of one group share their list of rows, and with it the lists that it is divided into.
  const kindsBy = byList((rows, { audience: { table } }) => kindsOf(table, rows))
  for (const delivery of pending) {
    const { identity, fault, table, role, authorizesDeletes } = delivery.audience
    if (identity === null || fault === 'unauthorized') {
      ask(free, delivery, delivery.rows)
      continue
    }
    const { written, keyed, gone, remembered } = kindsBy(delivery.rows, delivery)
    // A row without its key cannot be asked about, and is not delivered.
    if (fault === null) ask(fresh, delivery, keyed)
    else ask(free, delivery, written)
    if (!authorizesDeletes) ask(free, delivery, gone)
    else if (deletesWithheld(table, role) === null) ask(deleted, delivery, remembered)
  }
  return { free, fresh, deleted }
}

/** The old rows of granted UPDATEs, where the log holds them whole. */
export function updatedOf(fresh: readonly Asked[], granted: (delivery: PendingDelivery, row: RowChange) => boolean): Asked[] {
  const updated: Asked[] = []
  const updatesBy = byList((rows, { audience: { table } }) =>
    rows.filter((row) => row.action === 'UPDATE' && row.old?.extent === 'full' && oldText(table, row) !== null),
  )
  for (const { delivery, rows } of fresh) {
    const updates = updatesBy(rows, delivery)
    if (updates.length === 0) continue
    const { table, role } = delivery.audience
    const isAsked = (row: RowChange): boolean => granted(delivery, row)
    if (table.roles.get(role)?.scope === 'row') ask(updated, delivery, updates.filter(isAsked))
  }
  return updated
}

/** Caches the result for the last list: audiences of one group share their list and follow each other. */
function byList<Made>(make: (rows: readonly RowChange[], delivery: PendingDelivery) => Made): typeof make {
  let last: readonly RowChange[] | null = null
  let made: Made
  return (rows, delivery) => {
    if (last !== rows) made = make(rows, delivery)
    last = rows
    return made
  }
}

/** The rows of a list: those written, with those of them that have a key; and those deleted, with those that the log holds whole. */
interface Kinds {
  readonly written: readonly RowChange[]
  readonly keyed: readonly RowChange[]
  readonly gone: readonly RowChange[]
  readonly remembered: readonly RowChange[]
}

const NONE: readonly RowChange[] = []

function kindsOf(table: CatalogTable, rows: readonly RowChange[]): Kinds {
  const written = which(rows, ({ action }) => action !== 'DELETE')
  const keyed = which(written, (row) => primaryKeyTexts(row)?.length === table.primaryKey.length)
  const gone = written === rows ? NONE : which(rows, ({ action }) => action === 'DELETE')
  return { written, keyed, gone, remembered: which(gone, (row) => oldText(table, row) !== null) }
}

/** Keeps `rows` uncopied: later steps recognise shared lists by identity. */
function ask(asked: Asked[], delivery: PendingDelivery, rows: readonly RowChange[]): void {
  if (rows.length > 0) asked.push({ delivery, rows })
}

/** `rows` itself if every row passes, so that a shared list stays shared. */
function which(rows: readonly RowChange[], isKnown: (row: RowChange) => boolean): readonly RowChange[] {
  return rows.every(isKnown) ? rows : rows.filter(isKnown)
}

/** Rows of one version of a table that identities of one role want to see. */
export class RowQuestion {
  readonly table: CatalogTable
  readonly role: string
  readonly rows: readonly RowChange[]
  readonly identities: { readonly identity: CheckIdentity; readonly rows: readonly number[] }[] = []
  /** By identity. */
  readonly #asked: readonly (readonly Asked[])[]

  /** `asked` is about one version of one table, and one role. */
  constructor(asked: readonly Asked[]) {
    const { table, role } = asked[0]!.delivery.audience
    this.table = table
    this.role = role
    const numbers = new Map<RowChange, number>()
    const known = new Map<readonly RowChange[], readonly number[]>()
    const numbersOf = (rows: readonly RowChange[]): readonly number[] =>
      getOrMake(known, rows, () => rows.map((row) => getOrMake(numbers, row, () => numbers.size)))
    const byIdentity = groupBy(asked, ({ delivery }) => delivery.audience.identity!)
    this.#asked = [...byIdentity.values()]
    for (const [identity, [first, ...others]] of byIdentity) {
      const rows = numbersOf(first!.rows)
      this.identities.push({
        identity,
        rows: others.length === 0 ? rows : [...new Set([...rows, ...others.flatMap((each) => numbersOf(each.rows))])],
      })
    }
    this.rows = [...numbers.keys()]
  }

  get deliveries(): readonly PendingDelivery[] {
    return [...new Set(this.#asked.flatMap((asked) => asked.map(({ delivery }) => delivery)))]
  }

  get xids(): readonly number[] {
    return xidsOf(this.rows)
  }

  /** The question about written rows. */
  get check(): Omit<RowCheck, 'waits'> {
    const { table, role, rows, identities, xids } = this
    const columns = publishedColumns(rows[0]!.table)
    const images = rows.map((row) => imageOf(row, columns))
    return { table, role, identities, xids, columns, images, keys: rows.map((row) => primaryKeyTexts(row)!) }
  }

  /** The old rows, as texts of the table's row type. */
  get oldTexts(): readonly string[] {
    return this.rows.map((row) => oldText(this.table, row)!)
  }

  /** The question in two parts: by rows, or by identities where there is one row; empty: it cannot be divided. */
  halves(): RowQuestion[] {
    if (this.rows.length > 1) {
      const first = new Set(halvesOf(this.rows)[0])
      return [true, false].map((isFirst) => {
        const half = this.#asked.flat().map(({ delivery, rows }) => ({ delivery, rows: rows.filter((row) => first.has(row) === isFirst) }))
        return new RowQuestion(half.filter(({ rows }) => rows.length > 0))
      })
    }
    if (this.#asked.length < 2) return []
    return halvesOf(this.#asked).map((half) => new RowQuestion(half.flat()))
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

/** One question for each version of a table and role. */
export function rowQuestions(asked: readonly Asked[]): RowQuestion[] {
  if (asked.length === 0) return []
  if (asked.length === 1 && asked[0]!.rows.length === 1) return [new RowQuestion(asked)]
  const groups = new Map<CatalogTable, Map<Table, Map<string, Asked[]>>>()
  // Audiences that share a list of rows are of one table as the catalog last described it.
  for (const [rows, ofRows] of groupBy(asked, (each) => each.rows)) {
    const ofTable = getOrMake(groups, ofRows[0]!.delivery.audience.table, () => new Map<Table, Map<string, Asked[]>>())
    const [first, ...others] = rows
    for (const [version, ofVersion] of others.length === 0 ? [[first!.table, rows] as const] : groupBy(rows, (row) => row.table)) {
      const byRole = getOrMake(ofTable, version, () => new Map<string, Asked[]>())
      const isAll = ofVersion.length === rows.length
      for (const each of ofRows) append(byRole, each.delivery.audience.role, isAll ? each : { delivery: each.delivery, rows: ofVersion })
    }
  }
  const versions = [...groups.values()].flatMap((ofTable) => [...ofTable.values()])
  return versions.flatMap((byRole) => [...byRole.values()].map((ofRole) => new RowQuestion(ofRole)))
}

export function xidsOf(rows: readonly RowChange[]): readonly number[] {
  return [...new Set(rows.map(({ transaction }) => transaction.xid))]
}

/** `null`: the log does not hold all of the old row. */
function oldText(table: CatalogTable, row: RowChange): string | null {
  const names = table.columns.map(({ name }) => name)
  return table.replicaIdentityFull ? oldRowText(row, names) : null
}
