import type { ChangeColumn, ChangeData } from '@tidewire/protocol'

/** What a `postgres_changes` listener gets. `new` is empty for DELETE, `old` for INSERT. */
export interface ChangePayload {
  readonly schema: string
  readonly table: string
  readonly commit_timestamp: string | null
  readonly eventType: ChangeData['type']
  readonly new: { [column: string]: unknown }
  readonly old: { [column: string]: unknown }
  readonly errors: readonly string[] | null
}

export function toChangePayload(data: ChangeData): ChangePayload {
  const { schema, table, commit_timestamp, type, errors } = data
  return {
    schema,
    table,
    commit_timestamp,
    eventType: type,
    new: type === 'DELETE' ? {} : toRow(data.columns, data.record),
    old: type === 'INSERT' ? {} : toRow(data.columns, data.old_record),
    errors,
  }
}

function toRow(
  columns: readonly ChangeColumn[] | undefined,
  record: { readonly [column: string]: unknown } | undefined,
): { [column: string]: unknown } {
  const types = new Map((columns ?? []).map(({ name, type }) => [name, type]))
  const row: { [column: string]: unknown } = {}
  for (const [column, value] of Object.entries(record ?? {})) row[column] = toValue(types.get(column), value)
  return row
}

/** Servers send most values as JSON; those that come in Postgres' text form are read by their type. */
export function toValue(type: string | undefined, value: unknown): unknown {
  if (typeof value !== 'string' || type === undefined) return value
  if (type.startsWith('_')) return toArray(type.slice(1), value)
  switch (type) {
    case 'bool':
      return value === 't' || value === 'true' ? true : value === 'f' || value === 'false' ? false : value
    case 'int2':
    case 'int4':
    case 'int8':
    case 'float4':
    case 'float8':
    case 'numeric':
    case 'oid':
      return toNumber(value)
    case 'json':
    case 'jsonb':
      return parsed(value)
    case 'timestamp':
      return value.replace(' ', 'T')
    default:
      return value
  }
}

function toNumber(value: string): unknown {
  const number = parseFloat(value)
  // What is not a number (`NaN`, `Infinity` aside) stays as it came rather than become NaN.
  return Number.isNaN(number) && value !== 'NaN' ? value : number
}

function parsed(value: string): unknown {
  try {
    return JSON.parse(value)
  } catch {
    return value
  }
}

/** Reads Postgres' array text: nested braces, quotes, backslashes, NULL. Anything else stays as it came. */
export function toArray(type: string, text: string): unknown {
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
        if (item[1] !== undefined) items.push(toValue(type, item[1].replace(/\\([^])/g, '$1')))
        else items.push(/^null$/i.test(item[2]!) ? null : toValue(type, item[2]!))
      }
      if (text[at] === ',') at++
      else if (text[at] !== '}') return undefined
    }
    return text[at++] === '}' ? items : undefined
  }
  const value = text[0] === '{' ? list() : undefined
  return value !== undefined && at === text.length ? value : text
}
