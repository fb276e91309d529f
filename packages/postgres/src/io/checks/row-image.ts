import type { RowCheck } from '../../decide/feed-database.ts'
import type { RowTexts } from '../../replication/change-row.ts'
import { comparedColumns, type Shape } from './check-function.ts'

/** The images of a check, as what it shows is compared with them. */
export interface RowImages extends Shape {
  /** Of each compared column, its place in `RowCheck.columns`. */
  readonly compared: readonly number[]
  /** By row, what Postgres would write of the compared columns, with the comma before them and the bracket after. */
  readonly texts: readonly string[]
  /** By row, the `attnum`s of compared values that are not known: `,3,7,`. */
  readonly missing: readonly (string | null)[]
}

/** So many characters a row, on average. */
const WIDE = 2_000

export function rowImages({ table, role, columns, images }: RowCheck): RowImages {
  const columnsCompared = comparedColumns(table, role, columns)
  const compared = columnsCompared.map(({ number }) => columns.indexOf(number))
  const texts = images.map((image) => imageText(image, compared))
  const missing = images.map((image) => {
    const numbers = columnsCompared.filter((_, index) => image[compared[index]!] === undefined).map(({ number }) => number)
    return numbers.length === 0 ? null : `,${numbers.join()},`
  })
  const characters = texts.reduce((sum, text) => sum + text.length, 0)
  return { compared, texts, missing, masked: missing.some((each) => each !== null), wide: characters > WIDE * texts.length }
}

/** As `record_out` writes it. */
function imageText(image: RowTexts, compared: readonly number[]): string {
  let text = ''
  for (const place of compared) {
    const value = image[place]
    text += typeof value === 'string' ? `,${quoted(value)}` : ','
  }
  return `${text})`
}

function quoted(text: string): string {
  return text === '' || /["\\(),\s]/.test(text) ? `"${text.replace(/["\\]/g, '$&$&')}"` : text
}
