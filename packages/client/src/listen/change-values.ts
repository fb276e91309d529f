import { jsonValue, type ChangeColumn, type ChangeData } from '@tidewire/protocol'
import type { BigNumbers } from '../options.ts'

/** The payload of a `postgres_changes` listener. `new` is empty for DELETE, `old` for INSERT. */
export interface ChangePayload {
  readonly schema: string
  readonly table: string
  readonly commit_timestamp: string | null
  readonly eventType: ChangeData['type']
  readonly new: { [column: string]: unknown }
  readonly old: { [column: string]: unknown }
  readonly errors: readonly string[] | null
}

export function toChangePayload(data: ChangeData, bigNumbers: BigNumbers = 'number'): ChangePayload {
  const { schema, table, commit_timestamp, type, errors } = data
  return {
    schema,
    table,
    commit_timestamp,
    eventType: type,
    new: type === 'DELETE' ? {} : toRow(data.columns, data.record, bigNumbers),
    old: type === 'INSERT' ? {} : toRow(data.columns, data.old_record, bigNumbers),
    errors,
  }
}

function toRow(
  columns: readonly ChangeColumn[] | undefined,
  record: { readonly [column: string]: unknown } | undefined,
  bigNumbers: BigNumbers,
): { [column: string]: unknown } {
  const types = new Map((columns ?? []).map(({ name, type }) => [name, type]))
  // Not by assignment: a column may be called `__proto__`.
  return Object.fromEntries(Object.entries(record ?? {}).map(([column, value]) => [column, toValue(types.get(column), value, bigNumbers)]))
}

/** Servers send most values as JSON; those that come in Postgres' text form are read by their type. */
export function toValue(type: string | undefined, value: unknown, bigNumbers: BigNumbers = 'number'): unknown {
  // A number that JSON gave is one that a JavaScript number holds, or no more was requested.
  if (typeof value === 'number' && bigNumbers !== 'number' && (type === 'int8' || type === 'numeric'))
    return exact(type, String(value), bigNumbers)
  if (Array.isArray(value) && bigNumbers !== 'number' && type?.startsWith('_') === true)
    return (value as unknown[]).map((item) => toValue(Array.isArray(item) ? type : type.slice(1), item, bigNumbers))
  if (typeof value !== 'string' || type === undefined) return value
  if (type.startsWith('_')) return toArray(type.slice(1), value, bigNumbers)
  switch (type) {
    case 'bool':
      return value === 't' || value === 'true' ? true : value === 'f' || value === 'false' ? false : value
    case 'int2':
    case 'int4':
    case 'float4':
    case 'float8':
    case 'oid':
      return toNumber(value)
    case 'int8':
    case 'numeric':
      return bigNumbers === 'number' ? toNumber(value) : exact(type, value, bigNumbers)
    case 'json':
    case 'jsonb': {
      const json = jsonValue(value)
      return json === undefined ? value : json
    }
    case 'timestamp':
      return value.replace(/^(\d+-\d\d-\d\d) /, '$1T')
    default:
      return value
  }
}

function exact(type: string, digits: string, bigNumbers: BigNumbers): unknown {
  return bigNumbers === 'bigint' && type === 'int8' && /^-?\d+$/.test(digits) ? BigInt(digits) : digits
}

/**
 * Puts numbers that a JavaScript number cannot hold into quotes, in the text of a JSON value, so that JSON.parse keeps
 * their digits.
 */
export function quoteBigNumbers(json: string): string {
  return json.replace(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]{14,}/g, (found) =>
    found[0] === '"' || String(Number(found)) === found ? found : `"${found}"`,
  )
}

function toNumber(value: string): unknown {
  const number = parseFloat(value)
  // A text that is no number stays as it came rather than become NaN.
  return Number.isNaN(number) && value !== 'NaN' ? value : number
}

/** Reads Postgres' array text: nested braces, quotes, backslashes, NULL. Anything else stays as it came. */
export function toArray(type: string, text: string, bigNumbers: BigNumbers = 'number'): unknown {
  let at = 0
  const list = (): unknown[] | undefined => {
    const items: unknown[] = []
    at++
    while (at < text.length && text[at] !== '}') {
      if (text[at] === '{') {
        const inner = list()
        if (inner === undefined) return undefined
        items.push(inner)
      } else {
        const item = /^(?:"((?:[^"\\]|\\[^])*)"|([^",{}]+))/.exec(text.slice(at))
        if (item === null) return undefined
        at += item[0].length
        if (item[1] !== undefined) items.push(toValue(type, item[1].replace(/\\([^])/g, '$1'), bigNumbers))
        else items.push(/^null$/i.test(item[2]!) ? null : toValue(type, item[2]!, bigNumbers))
      }
      if (text[at] === ',') at++
      else if (text[at] !== '}') return undefined
    }
    return text[at++] === '}' ? items : undefined
  }
  const value = text[0] === '{' ? list() : undefined
  return value !== undefined && at === text.length ? value : text
}
