/**
 * The JSON text of a column's value, made from the text that Postgres wrote, byte for byte what
 * `to_jsonb(value)::text` would be but for the order of a row's keys. No digit passes through a JavaScript number.
 *
 * | type | JSON |
 * |---|---|
 * | integers, numeric | the digits as they are |
 * | float4, float8 | the digits, without exponent (`1e+20` is `100000000000000000000`) |
 * | numeric, float4, float8: `NaN`, `Infinity` | `null` as a column, a string inside an array or row |
 * | bool | `true`, `false` |
 * | timestamp, timestamptz | ISO 8601 with `T`; the offset as `+00:00` |
 * | json | in the form of jsonb; one that jsonb cannot hold stays as it is |
 * | jsonb | as it is |
 * | bytea | hexadecimal, without `\x` as a column, with it inside an array or row |
 * | arrays | arrays, by dimension |
 * | rows (composite types) | objects, keys in the order of the attributes |
 * | domains | as their base type inside, `NaN` and `\x` kept |
 * | types with a cast to json of their own (hstore, PostGIS) | only the database knows: a string unless it was asked |
 * | everything else | a string |
 */
import { compareKeys, jsonbText } from './json-text.ts'
import { readArray, readRow } from './nested-text.ts'
import { plainNumber } from './number-text.ts'

/** A column's type as far as its JSON depends on it. */
export type ValueType =
  | { readonly kind: 'text' | 'bool' | 'number' | 'float' | 'timestamp' | 'timestamptz' | 'json' | 'jsonb' | 'bytea' }
  | { readonly kind: 'array'; readonly element: ValueType; readonly delimiter: string }
  /** `int2vector` and `oidvector`: elements between spaces. */
  | { readonly kind: 'vector'; readonly element: ValueType }
  | { readonly kind: 'row'; readonly fields: readonly { readonly name: string; readonly type: ValueType }[] }
  | { readonly kind: 'domain'; readonly base: ValueType }
  /**
   * Only the database knows: the type has a cast to json of its own, or attributes that may be altered without a word in the log.
   * `name` is what it is called in SQL, qualified and quoted; `otherwise` is how it was made when it was looked up.
   */
  | { readonly kind: 'cast'; readonly name: string; readonly otherwise?: ValueType }

/** Makes JSON text of a value's text. Never throws; a text that does not fit its type becomes a JSON string. */
export type ValueWriter = (text: string) => string

export function columnWriter(type: ValueType): ValueWriter {
  const write = valueWriter(type)
  if (type.kind === 'number' || type.kind === 'float') return (text) => (ENDLESS.test(text) ? 'null' : write(text))
  if (type.kind === 'bytea') return (text) => JSON.stringify(text.startsWith('\\x') ? text.slice(2) : text)
  // The stream itself says that the column is jsonb. Of what stands inside rows only the catalog says so, and it may have changed since.
  if (type.kind === 'jsonb') return (text) => text
  return write
}

/** Types whose JSON is known from their oid alone. Everything else that is no array, row or domain is text. */
export const BUILTIN_TYPES: ReadonlyMap<number, ValueType> = new Map<number, ValueType>([
  [16, { kind: 'bool' }],
  [17, { kind: 'bytea' }],
  [20, { kind: 'number' }],
  [21, { kind: 'number' }],
  [22, { kind: 'vector', element: { kind: 'number' } }],
  [23, { kind: 'number' }],
  [30, { kind: 'vector', element: { kind: 'text' } }],
  [114, { kind: 'json' }],
  [700, { kind: 'float' }],
  [701, { kind: 'float' }],
  [1114, { kind: 'timestamp' }],
  [1184, { kind: 'timestamptz' }],
  [1700, { kind: 'number' }],
  [3802, { kind: 'jsonb' }],
])

export const TEXT_TYPE: ValueType = { kind: 'text' }

function valueWriter(type: ValueType): ValueWriter {
  switch (type.kind) {
    case 'bool':
      return (text) => (text === 't' ? 'true' : text === 'f' ? 'false' : JSON.stringify(text))
    case 'number':
      return (text) => (NUMBER.test(text) ? text : JSON.stringify(text))
    case 'float':
      return (text) => plainNumber(text) ?? JSON.stringify(text)
    case 'timestamp':
      return (text) => JSON.stringify(text.replace(' ', 'T'))
    case 'timestamptz':
      return (text) => JSON.stringify(withOffsetMinutes(text.replace(' ', 'T')))
    case 'json':
    case 'jsonb':
      return (text) => jsonbText(text) ?? (isJson(text) ? text : JSON.stringify(text))
    case 'array':
      return arrayWriter(valueWriter(type.element), type.delimiter)
    case 'vector':
      return vectorWriter(valueWriter(type.element))
    case 'row':
      return rowWriter(type.fields)
    case 'domain':
      return valueWriter(type.base)
    case 'text':
    case 'bytea':
      return JSON.stringify
    case 'cast':
      return type.otherwise === undefined ? JSON.stringify : valueWriter(type.otherwise)
  }
}

function arrayWriter(write: ValueWriter, delimiter: string): ValueWriter {
  return (text) => {
    let json = ''
    let first = true
    const add = (part: string): void => {
      json += first ? part : `, ${part}`
      first = false
    }
    const whole = readArray(text, delimiter, {
      open: () => {
        add('[')
        first = true
      },
      close: () => {
        json += ']'
        first = false
      },
      element: (element) => add(element === null ? 'null' : write(element)),
    })
    return whole ? json : JSON.stringify(text)
  }
}

function vectorWriter(write: ValueWriter): ValueWriter {
  return (text) => (text === '' ? '[]' : `[${text.split(' ').map(write).join(', ')}]`)
}

function rowWriter(fields: readonly { readonly name: string; readonly type: ValueType }[]): ValueWriter {
  const writers = fields.map((field) => valueWriter(field.type))
  const keys = fields.map(({ name }) => `${JSON.stringify(name)}: `)
  return (text) => {
    const values: string[] = []
    const whole = readRow(text, fields.length, (index, value) => (values[index] = value === null ? 'null' : writers[index]!(value)))
    return whole ? `{${keys.map((key, index) => key + values[index]!).join(', ')}}` : JSON.stringify(text)
  }
}

/** Indexes of `names` in the order that jsonb gives to keys. */
export function keyOrder(names: readonly string[]): number[] {
  return names.map((_, index) => index).sort((one, other) => compareKeys(names[one]!, names[other]!))
}

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?$/
const ENDLESS = /^(?:NaN|-?Infinity)$/

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** `…+00` → `…+00:00`, also in front of ` BC`. */
function withOffsetMinutes(text: string): string {
  // What a session in UTC writes, save for years before Christ and infinity.
  if (text.endsWith('+00')) return `${text}:00`
  return text.replace(/([+-]\d\d)( BC)?$/, '$1:00$2')
}
