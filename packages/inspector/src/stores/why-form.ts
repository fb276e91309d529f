import type { AdminLogRow, JsonObject, WhyQuestion, WhyUser } from '@tidewire/protocol'

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
  /** `id=5`, several with commas. */
  readonly key: string
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
  key: '',
  filter: '',
}

export type WhyParsed = { readonly ok: true; readonly question: WhyQuestion } | { readonly ok: false; readonly fault: string }

/** Reads the form, or says what is missing in it. */
export function parseWhy(form: WhyForm): WhyParsed {
  const user = parseUser(form)
  if (typeof user === 'string') return { ok: false, fault: user }
  if (form.about === 'topic') {
    const topic = form.topic.trim()
    if (topic === '') return { ok: false, fault: 'Which topic? Type its name.' }
    return { ok: true, question: { about: 'topic', user, topic, private: form.private } }
  }
  const [schema, table] = splitTable(form.table.trim())
  if (table === '') return { ok: false, fault: 'Which table? Type its name, like todos or public.todos.' }
  const key = parseKey(form.key)
  if (typeof key === 'string') return { ok: false, fault: key }
  const filter = form.filter.trim()
  return { ok: true, question: { about: 'change', user, schema, table, key, ...(filter === '' ? {} : { filter }) } }
}

function parseUser({ connection, role, claims }: WhyForm): WhyUser | string {
  if (connection !== '') return { connection }
  if (role.trim() === '') return 'Who? Choose a connection, or type a role.'
  let parsed: unknown
  try {
    parsed = claims.trim() === '' ? {} : JSON.parse(claims)
  } catch {
    return 'The claims are not JSON. Try {"sub": "…"}.'
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return 'The claims must be a JSON object, like {"sub": "…"}.'
  return { role: role.trim(), claims: parsed as JsonObject }
}

function splitTable(text: string): readonly [schema: string, table: string] {
  const dot = text.indexOf('.')
  return dot < 0 ? ['public', text] : [text.slice(0, dot), text.slice(dot + 1)]
}

function parseKey(text: string): { readonly [column: string]: string } | string {
  const entries: [string, string][] = []
  for (const part of text.split(',')) {
    const equals = part.indexOf('=')
    if (equals < 1) return 'Which row? Type its primary key, like id=5.'
    entries.push([part.slice(0, equals).trim(), part.slice(equals + 1).trim()])
  }
  return Object.fromEntries(entries)
}

/** What a row of the log tells of a question: its topic and who sent it, or its table and, where it is called `id`, its key. */
export function questionAbout({ kind, topic, private: isPrivate, event, connection, detail, payload }: AdminLogRow): Partial<WhyForm> {
  const who = connection === undefined ? {} : { connection }
  // A decision does not say whether its topic is private; only private ones are refused for want of a policy.
  if (kind !== 'change') return { about: 'topic', topic: topic ?? '', private: isPrivate ?? event === 'unauthorized', ...who }
  const id = /"(?:old_)?record":\{[^{}]*?"id":(?:"([^"]*)"|([^,}\s]+))/.exec(payload ?? '')
  return { about: 'change', table: detail ?? '', key: id === null ? '' : `id=${id[1] ?? id[2]}`, ...who }
}
