/** The operators of a row filter (rule F3). */
export type FilterOperator = 'eq' | 'neq' | 'lt' | 'lte' | 'gt' | 'gte' | 'in' | 'like' | 'ilike' | 'is' | 'match' | 'imatch' | 'isdistinct'

const FILTER_OPERATORS: readonly FilterOperator[] = [
  'eq',
  'neq',
  'lt',
  'lte',
  'gt',
  'gte',
  'in',
  'like',
  'ilike',
  'is',
  'match',
  'imatch',
  'isdistinct',
]

/** The most values that `in` takes (rule F6). */
export const MAX_IN_VALUES = 100

/** The longest text of one filter of a join, in characters (rule L12). */
export const MAX_FILTER_LENGTH = 65_536
/** The longest text of all filters of a join together, in characters (rule L12). */
export const MAX_FILTERS_LENGTH = 1_048_576

/** One condition on a column. Values are text as Postgres reads it; what they mean depends on the column's type. */
export type Filter = ValueFilter | ListFilter

/** A column compared with one value. */
export interface ValueFilter {
  readonly column: string
  readonly op: Exclude<FilterOperator, 'in'>
  /** Whether `not.` stood before the operator. */
  readonly negate: boolean
  readonly value: string
}

/** A column that is one of several values. */
export interface ListFilter {
  readonly column: string
  readonly op: 'in'
  readonly negate: boolean
  /** `null` stands for SQL's NULL, which no value equals. */
  readonly value: readonly (string | null)[]
}

/** Why a text is no filter. */
export type FilterFault = 'empty-condition' | 'malformed' | 'unknown-operator' | 'no-list' | 'malformed-list' | 'too-many-values'

/** `detail` is the reference's text where it has one, without what the server puts in front (rule F7). */
export type ParsedFilter =
  | { readonly ok: true; readonly filters: readonly Filter[] }
  | { readonly ok: false; readonly code: FilterFault; readonly detail: string }

/** Reads `column=[not.]op.value`, several joined by commas and all of them to hold (rules F1–F6). Blank text is no filter. */
export function parseFilter(text: string): ParsedFilter {
  const filters: Filter[] = []
  if (text.trim() === '') return { ok: true, filters }
  for (const condition of splitConditions(text.trim())) {
    const parsed = parseCondition(condition.trim())
    if ('code' in parsed) return { ok: false, ...parsed }
    filters.push(parsed)
  }
  return { ok: true, filters }
}

interface Fault {
  readonly code: FilterFault
  readonly detail: string
}

/** Cuts at commas, except within parentheses and within quotes that open right after `.`, `(` or `,` (rule F2). */
export function splitConditions(text: string): readonly string[] {
  const conditions: string[] = []
  let from = 0
  let depth = 0
  let quoted = false
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (quoted) {
      if (code === BACKSLASH) at++
      else if (code === QUOTE) quoted = false
    } else if (code === QUOTE) quoted = at > from && opensValue(text.charCodeAt(at - 1))
    else if (code === OPEN) depth++
    else if (code === CLOSE) depth = Math.max(0, depth - 1)
    else if (code === COMMA && depth === 0) {
      conditions.push(text.slice(from, at))
      from = at + 1
    }
  }
  conditions.push(text.slice(from))
  return conditions
}

const QUOTE = 0x22
const OPEN = 0x28
const CLOSE = 0x29
const COMMA = 0x2c
const POINT = 0x2e
const BACKSLASH = 0x5c
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

function opensValue(code: number): boolean {
  return code === POINT || code === OPEN || code === COMMA
}

/** How many conditions a text has, malformed ones included. Takes the time of its length. */
export function countConditions(text: string): number {
  return text.trim() === '' ? 0 : splitConditions(text).length
}

function parseCondition(condition: string): Filter | Fault {
  if (condition === '') return { code: 'empty-condition', detail: 'filter must not contain empty segments (check for extra commas)' }
  const equals = condition.indexOf('=')
  if (equals < 0) return { code: 'malformed', detail: inspect([condition]) }
  const column = condition.slice(0, equals)
  const negate = condition.startsWith('not.', equals + 1)
  const rest = condition.slice(equals + (negate ? 5 : 1))
  const dot = rest.indexOf('.')
  if (dot < 0) return { code: 'malformed', detail: inspect([rest]) }
  const op = rest.slice(0, dot)
  const value = rest.slice(dot + 1)
  if (!isOperator(op)) return { code: 'unknown-operator', detail: inspect([op, value]) }
  if (op !== 'in') return { column, op, negate, value: unquote(value) }
  const list = parseInList(value)
  return 'code' in list ? list : { column, op, negate, value: list }
}

function isOperator(op: string): op is FilterOperator {
  return (FILTER_OPERATORS as readonly string[]).includes(op)
}

/** A value wholly in quotes loses them, and a backslash before any character; anything else is taken literally (rule F4). */
function unquote(value: string): string {
  if (!value.startsWith('"')) return value
  const quoted = quotedElement(value, 0)
  return quoted?.end === value.length ? quoted.value : value
}

function parseInList(value: string): readonly (string | null)[] | Fault {
  if (value.length < 2 || !value.startsWith('(') || !value.endsWith(')'))
    return { code: 'no-list', detail: '`in` filter value must be wrapped by parentheses' }
  const inner = value.slice(1, -1)
  const list = parseArrayElements(inner)
  if (list === undefined) return { code: 'malformed-list', detail: `malformed array literal: ${JSON.stringify(`{${inner}}`)}` }
  if (list.length > MAX_IN_VALUES) return { code: 'too-many-values', detail: `too many values for \`in\` filter. Maximum ${MAX_IN_VALUES}` }
  return list
}

/** The elements of a one-dimensional Postgres array literal, from the text between its braces (rule F5); `undefined` when it is malformed. */
function parseArrayElements(text: string): (string | null)[] | undefined {
  const elements: (string | null)[] = []
  let at = skipSpace(text, 0)
  if (at === text.length) return elements
  for (;;) {
    const element = text[at] === '"' ? quotedElement(text, at) : bareElement(text, at)
    if (element === undefined) return undefined
    elements.push(element.value)
    at = skipSpace(text, element.end)
    if (at === text.length) return elements
    if (text[at] !== ',') return undefined
    at = skipSpace(text, at + 1)
  }
}

interface Element {
  readonly value: string | null
  readonly end: number
}

/** Pieces without an escape are copied as a whole, and put together at the end: to add up a long value takes ten times as long. */
function quotedElement(text: string, from: number): { readonly value: string; readonly end: number } | undefined {
  const pieces: string[] = []
  let copied = from + 1
  for (let at = copied; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) {
      pieces.push(text.slice(copied, at))
      return { value: pieces.join(''), end: at + 1 }
    }
    if (code !== BACKSLASH || at + 1 === text.length) continue
    pieces.push(text.slice(copied, at))
    copied = ++at
  }
  return undefined
}

function bareElement(text: string, from: number): Element | undefined {
  const pieces: string[] = []
  let copied = from
  /** The end of the value without trailing white space; escaped white space is kept. */
  let kept = from
  let at = from
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === COMMA) break
    if (code === QUOTE || code === OPEN_BRACE || code === CLOSE_BRACE) return undefined
    if (code === BACKSLASH) {
      pieces.push(text.slice(copied, at))
      copied = ++at
      if (at === text.length) return undefined
      kept = at + 1
    } else if (!isSpace(code)) kept = at + 1
  }
  pieces.push(text.slice(copied, kept))
  const value = pieces.join('')
  if (value === '') return undefined
  return { value: pieces.length === 1 && value.toLowerCase() === 'null' ? null : value, end: at }
}

function skipSpace(text: string, from: number): number {
  let at = from
  while (at < text.length && isSpace(text.charCodeAt(at))) at++
  return at
}

/** White space as Postgres' array literals know it: a blank, and from tab to carriage return. */
function isSpace(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= 0x0d)
}

/** How the reference prints the parts it could not make sense of. */
function inspect(parts: readonly string[]): string {
  return `[${parts.map((part) => JSON.stringify(part)).join(', ')}]`
}
