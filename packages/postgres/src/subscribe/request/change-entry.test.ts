import { expect, test } from 'vitest'
import { arrayLiteral, notPublishedText, parseChangeEntries, parseChangeEntry, refusedText } from './change-entry.ts'

const refusal = (json: unknown): string => {
  const parsed = parseChangeEntry(1, json)
  return parsed.ok ? 'accepted' : parsed.message
}
const NOTES = { event: '*', schema: 'public', table: 'notes' }

test('schema, table and filter in the combinations that count', () => {
  const read = (json: unknown): unknown => {
    const parsed = parseChangeEntry(7, json)
    return parsed.ok
      ? `${parsed.entry.event} ${parsed.entry.schema}.${parsed.entry.table} ${JSON.stringify(parsed.entry.filters)}`
      : parsed.message
  }
  expect(read({ schema: 's', table: 't', filter: 'a=eq.1' })).toBe('* s.t [{"column":"a","op":"eq","negate":false,"value":"1"}]')
  expect(read({ schema: 's', table: 't', filter: '  ' })).toBe('* s.t []')
  expect(read({ schema: 's', table: 't' })).toBe('* s.t []')
  expect(read({ schema: 's' })).toBe('* s.* []')
  expect(read({ table: 't' })).toBe('* public.t []')
  expect(read({ event: 'insert', schema: '*' })).toBe('INSERT *.* []')
  expect(read({ event: 'BOGUS', schema: 's' })).toBe('* s.* []')
  expect(read({ event: 5, schema: 's' })).toBe('* s.* []')
})

test('entries without parameters are refused in the words of the reference', () => {
  const none = 'No subscription params provided. Please provide at least a `schema` or `table` to subscribe to: '
  expect(refusal({ event: '*' })).toBe(`${none}%{"event" => "*"}`)
  expect(refusal({ ...NOTES, filter: null })).toBe(`${none}%{"event" => "*", "filter" => nil, "schema" => "public", "table" => "notes"}`)
  expect(refusal({ ...NOTES, table: 5 })).toBe(`${none}%{"event" => "*", "schema" => "public", "table" => 5}`)
  expect(refusal({ schema: 'public', filter: 'a=eq.1' })).toBe(`${none}%{"filter" => "a=eq.1", "schema" => "public"}`)
  expect(refusal('x')).toBe(`${none}"x"`)
})

test('filters and selections that cannot be read', () => {
  expect(refusal({ ...NOTES, filter: 'n=foo.1' })).toBe('Error parsing `filter` params: ["foo", "1"]')
  expect(refusal({ ...NOTES, filter: 'undefined' })).toBe('Error parsing `filter` params: ["undefined"]')
  expect(refusal({ ...NOTES, filter: 'n=eq.1,' })).toBe(
    'Error parsing `filter` params: filter must not contain empty segments (check for extra commas)',
  )
  expect(refusal({ ...NOTES, filter: 'n=in.1,2' })).toBe('Error parsing `filter` params: `in` filter value must be wrapped by parentheses')
  expect(refusal({ ...NOTES, select: 'body' })).toBe(
    'Error parsing `select` params: expected a list of column name strings, e.g. select: ["col1", "col2"]',
  )
  expect(refusal({ event: '*', schema: 'public', select: ['body'] })).toBe(
    'Column selection is not supported for wildcard subscriptions. Provide an explicit schema and table name.',
  )
})

test('too many values are printed as the reference prints them', () => {
  const list = Array.from({ length: 101 }, (_, index) => index).join()
  expect(refusal({ ...NOTES, filter: `n=in.(${list})` })).toBe(
    `Unable to subscribe to changes with given parameters. An exception happened so please check your connect parameters: [event: *, schema: public, table: notes, filters: [\n  {"n", "in",\n   "{${list}}",\n   false}\n], select: nil]. Exception: ERROR P0001 (raise_exception) too many values for \`in\` filter. Maximum 100`,
  )
})

test('what the database refuses is printed with the entry', () => {
  const parsed = parseChangeEntry(1, { ...NOTES, filter: 'n=not.in.(1,"a b")', select: ['nope'] })
  if (!parsed.ok) throw new Error(parsed.message)
  expect(notPublishedText(parsed.entry)).toBe(
    'Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given connect parameters: [event: *, schema: public, table: notes, filters: [{"n", "in", "{1,\\"a b\\"}", true}], select: ["nope"]]',
  )
  expect(refusedText(parsed.entry, 'ERROR x')).toContain('select: ["nope"]]. Exception: ERROR x')
})

test('lists become array literals', () => {
  expect(arrayLiteral(['a', null, 'null', '', 'a b', '"\\', '{}'])).toBe('{a,NULL,"null","","a b","\\"\\\\","{}"}')
})

test('a list that cannot be read is refused in the time of its length, whatever follows it', () => {
  const filter = `a=in.({),${' '.repeat(60_000)}`
  const at = performance.now()
  expect(parseChangeEntry(1, { schema: 'public', table: 't', filter })).toMatchObject({ ok: false })
  // Once the square of the length: half a second and more.
  expect(performance.now() - at).toBeLessThan(200)
})

test('the first entry that makes no sense refuses all, and none after it is read', () => {
  const read: number[] = []
  const entry = (id: number, filter: string): { readonly id: number; readonly entry: object } => ({
    id,
    get entry() {
      read.push(id)
      return { ...NOTES, filter }
    },
  })
  const { refusal } = parseChangeEntries([entry(1, 'n=eq.1'), entry(2, 'n'), entry(3, 'n=foo.1')])
  expect(refusal?.message).toBe('Error parsing `filter` params: ["n"]')
  expect(new Set(read)).toEqual(new Set([1, 2]))
})
