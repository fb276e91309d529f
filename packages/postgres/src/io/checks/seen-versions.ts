import { halvesOf } from '../../catalog/halves.ts'
import type { CatalogTable } from '../../catalog/catalog-table.ts'
import { getOrMake, groupBy } from '../../catalog/multimap.ts'
import type { Grant, RowCheck } from '../../decide/feed-database.ts'
import type { RowTexts } from '../../replication/change-row.ts'
import { readRow } from '../../replication/pgoutput/nested-text.ts'
import { arrayLiteral } from '../../subscribe/request/change-entry.ts'
import { comparedColumns, type Shape } from './check-function.ts'

/** The images of a check in the text form in which Postgres answers rows, so that both compare as strings. */
export interface RowImages extends Shape {
  /** By compared column, its index in `RowCheck.columns`. */
  readonly compared: readonly number[]
  /** By row, what Postgres would write of the compared columns, with the comma before them and the bracket after. */
  readonly texts: readonly string[]
  /** By row, the `attnum`s of compared values that are not known: `,3,7,`. */
  readonly missing: readonly (string | null)[]
}

/** Rows with more characters on average count as wide. */
const WIDE = 2_000

export function rowImages({ table, role, columns, images }: RowCheck): RowImages {
  const compared = comparedPlaces(table, role, columns)
  const [texts, missing]: [string[], (string | null)[]] = [[], []]
  let [characters, masked] = [0, false]
  for (const image of images) {
    let [text, numbers] = ['', '']
    for (const place of compared) {
      const value = image[place]
      if (value === undefined) numbers += `,${columns[place]!}`
      // As `record_out` writes it.
      text += typeof value === 'string' ? `,${quoted(value)}` : ','
    }
    text += ')'
    characters += text.length
    masked ||= numbers !== ''
    texts.push(text)
    missing.push(numbers === '' ? null : `${numbers},`)
  }
  return { compared, texts, missing, masked, wide: characters > WIDE * texts.length }
}

const knownPlaces = new WeakMap<CatalogTable, Map<string, { readonly columns: readonly number[]; readonly places: readonly number[] }>>()

/** The places in `columns` of those that are compared. Kept for the next question, which has the same list of columns as a rule. */
function comparedPlaces(table: CatalogTable, role: string, columns: readonly number[]): readonly number[] {
  const byRole = getOrMake(knownPlaces, table, () => new Map())
  const known = byRole.get(role)
  if (known?.columns === columns) return known.places
  const places = comparedColumns(table, role, columns).map(({ number }) => columns.indexOf(number))
  byRole.set(role, { columns, places })
  return places
}

function quoted(text: string): string {
  return text === '' || /["\\(),\s]/.test(text) ? `"${text.replace(/["\\]/g, '$&$&')}"` : text
}

/** A row that an identity sees, and what it may get of it. */
export type SeenRow = readonly [row: number, grant: Grant]

/** By `ctid`: what a version granted. A call writes each version once. */
export type KnownVersions = Map<string, SeenRow[]>

/** The rows that some identities ask for, and what the answers grant. */
export class RowList {
  readonly #check: RowCheck
  readonly #images: RowImages
  readonly rows: readonly number[]
  /** By what was shown: most identities are shown the same version of a row. */
  #read: Map<string, readonly SeenRow[]> | null = null
  #byText: Map<string, number> | null = null
  #byKey: Map<string, number[]> | null = null
  #keys: readonly string[] | null = null
  #halves: readonly RowList[] | null = null

  constructor(check: RowCheck, images: RowImages, rows: readonly number[]) {
    this.#check = check
    this.#images = images
    this.rows = rows
  }

  /** The texts of their keys, column by column, as arrays. Kept for lists of more than one row. */
  get keys(): readonly string[] {
    const { table, keys } = this.#check
    const made = this.#keys ?? table.primaryKey.map((_, column) => this.#arrayOf((row) => keys[row]![column]!))
    if (this.rows.length > 1) this.#keys = made
    return made
  }

  /** The list in two parts, shared by its identities. */
  get halves(): readonly RowList[] {
    return (this.#halves ??= halvesOf(this.rows).map((rows) => new RowList(this.#check, this.#images, rows)))
  }

  /** By row, the columns whose values are missing, as an array. */
  get missing(): string {
    return this.#arrayOf((row) => this.#images.missing[row]!)
  }

  #arrayOf(text: (row: number) => string | null): string {
    return arrayLiteral(this.rows.map(text))
  }

  /**
   * `("(0,1)",2,…)` or `(,2,…)`: a version, here of the second of the rows. `(0,1)`: the version that was shown with this `ctid`
   * to an identity before.
   */
  read(seen: string, known: KnownVersions): readonly SeenRow[] {
    const hasCtid = seen.startsWith('("')
    if (!hasCtid && !seen.startsWith('(,')) return known.get(seen) ?? []
    const ctidEnd = hasCtid ? seen.indexOf('"', 2) : 0
    const numberAt = seen.indexOf(',', ctidEnd) + 1
    const readVersion = (): readonly SeenRow[] => this.#readVersion(seen, numberAt)
    const shown = this.rows.length === 1 ? readVersion() : getOrMake((this.#read ??= new Map()), seen, readVersion)
    if (hasCtid) {
      // Keys that are written differently may mean the same row, and the next identity is shown only its `ctid`.
      const before = getOrMake(known, seen.slice(2, ctidEnd), () => [])
      for (const each of shown) if (before.every(([row]) => row !== each[0])) before.push(each)
    }
    return shown
  }

  #readVersion(seen: string, numberAt: number): readonly SeenRow[] {
    const comma = seen.indexOf(',', numberAt)
    const textAt = comma === -1 ? seen.length - 1 : comma
    return this.#grants(seen.slice(numberAt, textAt), seen.slice(textAt))
  }

  #grants(number: string, text: string): SeenRow[] {
    const { texts } = this.#images
    let rows: readonly number[] = this.rows
    let current: RowTexts | null = null
    if (number !== '') rows = [rows[Number(number) - 1]!]
    else if (rows.length > 1) {
      const like = this.#rowLike(text)
      const key = like === undefined ? (current = this.#readText(text))?.[this.#keyPlace] : this.#check.keys[like]![0]
      rows = this.#rowsOf(key ?? '')
    }
    return rows.map((row) => [row, texts[row] === text ? 'image' : this.#grantOf(row, (current ??= this.#readText(text)))])
  }

  #rowLike(text: string): number | undefined {
    this.#byText ??= new Map(this.rows.map((row) => [this.#images.texts[row]!, row]))
    return this.#byText.get(text)
  }

  #rowsOf(key: string): readonly number[] {
    this.#byKey ??= groupBy(this.rows, (row) => this.#check.keys[row]![0]!)
    return this.#byKey.get(key) ?? []
  }

  get #keyPlace(): number {
    const { columns, table } = this.#check
    return columns.indexOf(table.primaryKey[0]!.number)
  }

  /** Postgres may quote more than it has to, so the values decide. */
  #grantOf(row: number, current: RowTexts | null): Grant {
    if (current === null) return 'key'
    const image = this.#check.images[row]!
    const isSame = this.#images.compared.every((place) => image[place] === undefined || image[place] === current[place])
    return isSame ? 'image' : { current }
  }

  #readText(text: string): RowTexts | null {
    const { compared } = this.#images
    const current: (string | null | undefined)[] = this.#check.columns.map(() => undefined)
    const isRow = readRow(
      `(${text.slice(text.startsWith(',') ? 1 : 0)}`,
      compared.length,
      (index, value) => (current[compared[index]!] = value),
    )
    return isRow ? current : null
  }
}
