import type { AdminLogRow } from '@tidewire/protocol'

export type RowTest = (row: AdminLogRow) => boolean

const FIELDS = ['kind', 'topic', 'event', 'from', 'payload', 'why'] as const
type Field = (typeof FIELDS)[number]

/**
 * Reads the filter box. Words are joined by "and"; each is looked for in everything a row says, whatever its case.
 * `topic:room` looks in one field only, `-word` leaves rows out, quotes keep spaces together. No text takes every row.
 */
export function parseFilter(text: string): RowTest {
  const tests = [...text.matchAll(/(?:[^\s"]|"[^"]*(?:"|$))+/g)].flatMap(([token]) => {
    const isLeftOut = token.startsWith('-')
    const term = (isLeftOut ? token.slice(1) : token).replaceAll('"', '')
    const colon = term.indexOf(':')
    const name = term.slice(0, Math.max(0, colon)).toLowerCase()
    // `12:30` and `public:todos` are words, not fields.
    const field = FIELDS.find((each) => each === name)
    const word = field === undefined ? term : term.slice(colon + 1)
    // Half typed: it is not yet known what is meant.
    if (word === '') return []
    const test = testOf(word, field === undefined ? FIELDS : [field])
    return [isLeftOut ? (row: AdminLogRow) => !test(row) : test]
  })
  return (row) => tests.every((test) => test(row))
}

/** A pattern, because ten thousand payloads are looked through at each letter, and it needs no copy of them in lower case. */
function testOf(word: string, fields: readonly Field[]): RowTest {
  const pattern = new RegExp(word.replace(/[$()*+./?[\\\]^{|}]/g, '\\$&'), 'iu')
  return (row) => fields.some((field) => pattern.test(valueOf(row, field) ?? ''))
}

function valueOf(row: AdminLogRow, field: Field): string | undefined {
  switch (field) {
    case 'from':
      return row.connection
    case 'why':
      return row.detail
    default:
      return row[field]
  }
}
