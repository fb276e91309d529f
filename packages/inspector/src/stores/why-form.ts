import type { AdminLogRow, JsonObject, KeyColumn, WhyQuestion, WhyUser } from '@tidewire/protocol'
import { recordValues } from './record-values.ts'

/** The form of "Why?", as it is typed. */
export interface WhyForm {
  readonly about: 'topic' | 'change'
  /** A connection's id; empty: the role and the claims below. */
  readonly connection: string
  readonly role: string
  readonly claims: string
  readonly topic: string
  readonly private: boolean
  /** `todos` or `public.todos`. */
  readonly table: string
  /** Values by column, of more than the key: only the server knows which columns that has. */
  readonly row: ReadonlyMap<string, string>
  /** `user_id=eq.5`; empty: the filters of the connection's own channels. */
  readonly filter: string
}

export const emptyWhyForm: WhyForm = {
  about: 'topic',
  connection: '',
  role: 'authenticated',
  claims: '{"sub": ""}',
  topic: '',
  private: true,
  table: '',
  row: new Map(),
  filter: '',
}

export type WhyParsed = { readonly ok: true; readonly question: WhyQuestion } | { readonly ok: false; readonly fault: string }

/** Reads the form, or says what is missing in it. `keyColumns` are those of the table that it names. */
export function parseWhy(form: WhyForm, keyColumns: readonly KeyColumn[]): WhyParsed {
  const user = parseUser(form)
  if (typeof user === 'string') return { ok: false, fault: user }
  if (form.about === 'topic') {
    const topic = form.topic.trim()
    if (topic === '') return { ok: false, fault: 'Which topic? Type its name.' }
    return { ok: true, question: { about: 'topic', user, topic, private: form.private } }
  }
  const named = tableOf(form)
  if (named === null) return { ok: false, fault: 'Which table? Type its name, like todos or public.todos.' }
  const missing = keyColumns.find(({ name }) => valueOf(form, name) === '')
  if (missing !== undefined) return { ok: false, fault: `Which row? Type its ${missing.name}.` }
  const key = Object.fromEntries(keyColumns.map(({ name }) => [name, valueOf(form, name)]))
  const filter = form.filter.trim()
  return { ok: true, question: { about: 'change', user, ...named, key, ...(filter === '' ? {} : { filter }) } }
}

function parseUser({ connection, role, claims }: WhyForm): WhyUser | string {
  if (connection !== '') return { connection }
  if (role.trim() === '') return 'Choose a connection, or type a role.'
  let parsed: unknown
  try {
    parsed = claims.trim() === '' ? {} : JSON.parse(claims)
  } catch {
    return 'The claims are not JSON. Try {"sub": "…"}.'
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return 'The claims must be a JSON object, like {"sub": "…"}.'
  return { role: role.trim(), claims: parsed as JsonObject }
}

export interface NamedTable {
  readonly schema: string
  readonly table: string
}

/** The table that is named, in `public` where no schema is; `null`: none. */
export function tableOf({ table: text }: Pick<WhyForm, 'table'>): NamedTable | null {
  const name = text.trim()
  const dot = name.indexOf('.')
  const table = name.slice(dot + 1)
  return table === '' ? null : { schema: dot < 0 ? 'public' : name.slice(0, dot), table }
}

function valueOf({ row }: WhyForm, column: string): string {
  return row.get(column)?.trim() ?? ''
}

/** A question about a row of the log, filled in: its topic and sender, or its table and the row's values. */
export function questionAbout({ kind, topic, private: isPrivate, connection, detail, payload }: AdminLogRow): Partial<WhyForm> {
  if (kind === 'change') return { about: 'change', table: detail ?? '', row: recordValues(payload ?? '') }
  return {
    about: 'topic',
    topic: topic ?? '',
    ...(isPrivate === undefined ? {} : { private: isPrivate }),
    ...(connection === undefined ? {} : { connection }),
  }
}
