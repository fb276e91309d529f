import { parseFilter } from '@tidewire/protocol'
import type { GivenOption } from '../command.ts'
import { misused } from '../failure.ts'

/** The changes of one `--changes`, with the options that follow it. */
export interface ChangesAskedFor {
  readonly event: ChangeEvent
  readonly schema: string
  /** Absent: all tables of the schema. */
  readonly table?: string
  readonly filter?: string
  readonly select?: string[]
}

export type ChangeEvent = '*' | 'INSERT' | 'UPDATE' | 'DELETE'

export interface ListenOptions {
  /** The event of broadcasts: that of an `--event` before any `--changes`. */
  readonly broadcastEvent: string
  readonly changes: readonly ChangesAskedFor[]
}

const EVENTS: readonly string[] = ['*', 'INSERT', 'UPDATE', 'DELETE']

/** Reads `--changes`, `--filter`, `--select` and `--event` in their order: the others belong to the `--changes` before them. Throws a Failure. */
export function readListenOptions(given: readonly GivenOption[]): ListenOptions {
  const changes: ChangesAskedFor[] = []
  let broadcastEvent = '*'
  for (const { name, value } of given) {
    if (name === 'changes') changes.push({ event: '*', ...tableOf(value) })
    else if (changes.length > 0) changes.push({ ...changes.pop()!, ...detailOf(name, value) })
    else if (name === 'event') broadcastEvent = value
    else throw misused(`--${name} belongs behind a --changes.`)
  }
  for (const asked of changes)
    if (asked.select !== undefined && asked.table === undefined) throw misused('--select needs a table, as in --changes public.todos.')
  return { broadcastEvent, changes }
}

/** For people: `public.todos where id=gt.5`. */
export function describeChanges({ event, schema, table = '*', filter, select }: ChangesAskedFor): string {
  const what = `${event === '*' ? '' : `${event} of `}${schema}.${table}`
  return `${what}${select === undefined ? '' : ` (${select.join(', ')})`}${filter === undefined ? '' : ` where ${filter}`}`
}

/** `todos`, `public.todos`, `public.*`; names with dots in double quotes. */
function tableOf(text: string): { readonly schema: string; readonly table?: string } {
  const names = /^(?:("[^"]+"|[^".]+)\.)?("[^"]+"|[^".]+)$/.exec(text)
  if (names === null) throw misused(`--changes must be a table such as public.todos, or public.* for all, not ${JSON.stringify(text)}.`)
  const [schema, table] = [bare(names[1] ?? 'public'), bare(names[2]!)]
  return table === '*' ? { schema } : { schema, table }
}

function bare(name: string): string {
  return name.replace(/^"(.*)"$/, '$1')
}

function detailOf(name: string, value: string): Partial<ChangesAskedFor> {
  if (name === 'select') {
    const select = value.split(',').map((column) => column.trim())
    if (select.includes('')) throw misused(`--select must be columns such as id,title, not ${JSON.stringify(value)}.`)
    return { select }
  }
  if (name === 'event') {
    const event = value.toUpperCase()
    if (!EVENTS.includes(event)) throw misused(`--event of changes must be INSERT, UPDATE, DELETE or *, not ${JSON.stringify(value)}.`)
    return { event: event as ChangeEvent }
  }
  const parsed = parseFilter(value)
  if (!parsed.ok) throw misused(`--filter must be as column=operator.value, such as id=gt.5; what makes no sense: ${parsed.detail}.`)
  return { filter: value }
}
