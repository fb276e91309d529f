import type { Grant, RowCheck, RowTexts } from '../../decide/feed-database.ts'
import { readRow } from '../../replication/pgoutput/nested-text.ts'
import { append } from '../../catalog/multimap.ts'
import { comparedColumns, namesFirst } from './check-function.ts'

/** Images as the check takes them: what Postgres writes of a row, and the `attnum`s of the values that are not known. */
export interface WrittenImages {
  readonly images: readonly string[]
  readonly missing: readonly (string | null)[]
  /** Some values are not known. */
  readonly masked: boolean
  /** By row, those with its key, where the check names the first of them for all. */
  readonly alike: ReadonlyMap<number, readonly number[]>
}

export function writeImages({ entry, role, columns, images, keys }: RowCheck): WrittenImages {
  const compared = comparedColumns(entry, role, columns)
  const places = compared.map(({ number }) => columns.indexOf(number))
  const texts = images.map((image) => recordText(places.map((place) => image[place])))
  const missing = images.map((image) => {
    const numbers = compared.filter((_, index) => image[places[index]!] === undefined).map(({ number }) => number)
    return numbers.length === 0 ? null : `,${numbers.join()},`
  })
  const masked = missing.some((each) => each !== null)
  return { images: texts, missing, masked, alike: namesFirst(entry, masked) ? alikeOf(keys) : new Map<number, number[]>() }
}

/** Rows that have their key in common with others. */
function alikeOf(keys: readonly (readonly string[])[]): Map<number, number[]> {
  const byKey = new Map<string, number[]>()
  for (const [row, [key]] of keys.entries()) append(byKey, key!, row)
  return new Map([...byKey.values()].filter((rows) => rows.length > 1).flatMap((rows) => rows.map((row) => [row, rows] as const)))
}

/** As `record_out` writes it. */
function recordText(texts: RowTexts): string {
  return `(${texts.map((text) => (typeof text === 'string' ? quoted(text) : '')).join()})`
}

function quoted(text: string): string {
  return text === '' || /["\\(),\s]/.test(text) ? `"${text.replace(/["\\]/g, '$&$&')}"` : text
}

/** `n`: the identity's row n, counted from 1, is still as its image says. `n:(…)`: it is this by now. */
export function readSeen(
  check: RowCheck,
  { images, alike }: WrittenImages,
  rows: readonly number[],
  seen: readonly string[],
): Map<number, Grant> {
  const visible = new Map<number, Grant>()
  let compared: readonly number[] | null = null
  for (const text of seen) {
    const colon = text.indexOf(':')
    const first = rows[Number(colon === -1 ? text : text.slice(0, colon)) - 1]!
    const same = alike.get(first)
    if (colon === -1 && same === undefined) {
      visible.set(first, 'image')
      continue
    }
    compared ??= comparedColumns(check.entry, check.role, check.columns).map(({ number }) => check.columns.indexOf(number))
    const current = colon === -1 ? images[first]! : text.slice(colon + 1)
    for (const row of same?.filter((each) => rows.includes(each)) ?? [first])
      visible.set(row, grantOf(check, compared, check.images[row]!, current))
  }
  return visible
}

/** Postgres may quote more than it has to, so the texts decide. */
function grantOf({ columns }: RowCheck, compared: readonly number[], image: RowTexts, text: string): Grant {
  const current: (string | null | undefined)[] = columns.map(() => undefined)
  const isRow = readRow(text, compared.length, (index, value) => (current[compared[index]!] = value))
  if (!isRow) return 'key'
  const same = compared.every((place) => image[place] === undefined || image[place] === current[place])
  return same ? 'image' : { current }
}
