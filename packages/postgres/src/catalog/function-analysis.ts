import { FIRST_USER_OID, type PolicyScope } from './policy-analysis.ts'

/** A function as `pg_proc` describes it. */
export interface CatalogFunction {
  readonly oid: number
  /** `i`, `s` or `v`. */
  readonly volatility: string
  readonly language: string
  readonly source: string
  readonly argumentCount: number
  readonly argumentNames: readonly string[] | null
  readonly resultType: number
  /** It has settings of its own, runs as its owner, or has a parsed body. */
  readonly special: boolean
}

/** The claims that a function reads; `null` when that is not known. */
export function claimsReadBy(facts: CatalogFunction): ReadonlySet<string> | null {
  // What is built in and immutable knows nothing of settings.
  if (facts.oid < FIRST_USER_OID) return facts.volatility === 'i' ? NO_CLAIMS : null
  if (facts.language !== 'sql' || facts.special || facts.argumentCount !== 0 || facts.volatility === 'v') return null
  return claimsOfBody(facts.source)
}

const NO_CLAIMS: ReadonlySet<string> = new Set()

/** Understands bodies that take single claims out of the settings, such as `auth.uid()` and `auth.role()`. */
function claimsOfBody(source: string): ReadonlySet<string> | null {
  // Without white space, names of different claims would look alike.
  if (source.match(/'[^']*'/g)?.some((text) => /\s/.test(text)) === true) return null
  const body = source.replace(/\s+/g, '').replace(/;$/, '')
  const claims = new Set<string>()
  const take = (_text: string, claim: string): string => {
    claims.add(claim)
    return '@'
  }
  const rest = body
    .replaceAll(/current_setting\('request\.jwt\.claim\.([a-z_]+)',true\)/g, take)
    .replaceAll(/(?:nullif\()*current_setting\('request\.jwt\.claims',true\)(?:,''\))*::jsonb?\)?->>'([A-Za-z_]+)'/g, take)
  return /^select(?:coalesce|nullif|@|''|::uuid|::text|[(),])*$/i.test(rest) ? claims : null
}

/** What a call of the function reads: nothing but its arguments and claims, the time or the session, or perhaps tables. */
export function functionScope(facts: CatalogFunction): PolicyScope {
  if (facts.oid < FIRST_USER_OID) {
    if (facts.volatility === 'i' || READS_SETTINGS.has(facts.source)) return 'row'
    return READS_SESSION.has(facts.source) ? 'analysed' : 'opaque'
  }
  if (facts.language !== 'sql' || facts.special || facts.volatility === 'v') return 'opaque'
  return readsNoTable(facts.source, new Set(facts.argumentNames ?? [])) ? 'row' : 'opaque'
}

/** `current_setting`; claims are settings. */
const READS_SETTINGS: ReadonlySet<string> = new Set(['show_config_by_name', 'show_config_by_name_missing_ok'])
/** `now()` and its like, and comparisons that depend on the time zone. */
const READS_SESSION: ReadonlySet<string> = new Set([
  ...['now', 'statement_timestamp', 'clock_timestamp', 'current_user', 'session_user'],
  ...[
    'timestamptz_date',
    'timestamptz_timestamp',
    'timestamp_timestamptz',
    'date_timestamptz',
    'timestamptz_pl_interval',
    'timestamptz_mi_interval',
  ],
])

const BODY_TOKEN = /\s+|'(?:[^']|'')*'|[A-Za-z_]\w*|\d+(?:\.\d+)?|\$\d+(?:\.\w+)?|::|\|\||->>?|<=|>=|<>|!=|[-+=<>(),@]/y
const BODY_WORDS: ReadonlySet<string> = new Set('select and or not is null true false case when then else end in'.split(' '))
const BODY_FUNCTIONS: ReadonlySet<string> = new Set(['coalesce', 'nullif', 'current_setting', 'lower', 'upper'])
const BODY_TYPES: ReadonlySet<string> = new Set('uuid text json jsonb int integer bigint bool boolean numeric'.split(' '))

/** Understands bodies of one `select` without `from`, of constants, arguments, casts and few functions. */
function readsNoTable(source: string, names: ReadonlySet<string>): boolean {
  const body = source.trim().replace(/;$/, '')
  if (!/^select\b/i.test(body)) return false
  let before = ''
  BODY_TOKEN.lastIndex = 0
  while (BODY_TOKEN.lastIndex < body.length) {
    const token = BODY_TOKEN.exec(body)?.[0].toLowerCase()
    if (token === undefined) return false
    if (token.trim() === '') continue
    const called = /^\s*\(/.test(body.slice(BODY_TOKEN.lastIndex))
    const isWord = /^[a-z_]/.test(token)
    if (isWord && !(before === '::' ? BODY_TYPES.has(token) && !called : isBodyWord(token, called, names))) return false
    before = token
  }
  return true
}

function isBodyWord(token: string, called: boolean, names: ReadonlySet<string>): boolean {
  if (BODY_WORDS.has(token)) return true
  return called ? BODY_FUNCTIONS.has(token) : names.has(token)
}
