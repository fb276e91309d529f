import type { Grant, RowCheck } from '../../decide/feed-database.ts'
import type { RowTexts } from '../../replication/change-row.ts'
import { readRow } from '../../replication/pgoutput/nested-text.ts'
import { comparedColumns } from './check-function.ts'

/** Images as the check takes them: what Postgres writes of a row, and the `attnum`s of the values that are not known. */
export interface WrittenImages {
  readonly images: readonly string[]
  readonly missing: readonly (string | null)[]
  /** Some values are not known. */
  readonly masked: boolean
}

export function writeImages({ table, role, columns, images }: RowCheck): WrittenImages {
  const compared = comparedColumns(table, role, columns)
  const places = compared.map(({ number }) => columns.indexOf(number))
  const texts = images.map((image) => recordText(places.map((place) => image[place])))
  const missing = images.map((image) => {
    const numbers = compared.filter((_, index) => image[places[index]!] === undefined).map(({ number }) => number)
    return numbers.length === 0 ? null : `,${numbers.join()},`
  })
  return { images: texts, missing, masked: missing.some((each) => each !== null) }
}

/** As `record_out` writes it. */
function recordText(texts: RowTexts): string {
  return `(${texts.map((text) => (typeof text === 'string' ? quoted(text) : '')).join()})`
}

function quoted(text: string): string {
  return text === '' || /["\\(),\s]/.test(text) ? `"${text.replace(/["\\]/g, '$&$&')}"` : text
}

/** `n`: the identity's row n, counted from 1, is still as its image says. `n:(…)`: it is this by now. */
export function readSeen(check: RowCheck, rows: readonly number[], seen: readonly string[]): Map<number, Grant> {
  const visible = new Map<number, Grant>()
  let compared: readonly number[] | null = null
  for (const text of seen) {
    const colon = text.indexOf(':')
    if (colon === -1) {
      visible.set(rows[Number(text) - 1]!, 'image')
      continue
    }
    compared ??= comparedColumns(check.table, check.role, check.columns).map(({ number }) => check.columns.indexOf(number))
    const row = rows[Number(text.slice(0, colon)) - 1]!
    visible.set(row, grantOf(check, compared, check.images[row]!, text.slice(colon + 1)))
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
