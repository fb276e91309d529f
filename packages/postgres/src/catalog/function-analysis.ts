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
  /** The function has settings of its own, runs as its owner, or has a parsed body. */
  readonly special: boolean
}

/** The claims that a function reads; `null` when that is not known. */
export function claimsReadBy(facts: CatalogFunction): ReadonlySet<string> | null {
  // What is built in and immutable knows nothing of settings.
  if (facts.oid < FIRST_USER_OID) return facts.volatility === 'i' ? NO_CLAIMS : null
  return isPlainQuery(facts) ? claimsOfBody(facts.source) : null
}

const NO_CLAIMS: ReadonlySet<string> = new Set()

/** Whether the function answers all claims as JSON, as `auth.jwt()` does: what is read then is what is taken of them. */
export function answersAllClaims(facts: CatalogFunction): boolean {
  if (facts.oid < FIRST_USER_OID || !isPlainQuery(facts)) return false
  const body = tokensOf(facts.source)?.join(' ') ?? ''
  return ALL_CLAIMS.test(body.replace(`nullif ( current_setting ( 'request.jwt.claim' , true ) , '' ) , `, ''))
}

const ALL_CLAIMS =
  /^select (?:coalesce \( )?(?:nullif \( )?current_setting \( 'request\.jwt\.claims' , true \)(?: , '' \))?(?: \))? :: jsonb?$/

/** A domain checks what is returned, by functions of its own. */
function isPlainQuery({ language, special, argumentCount, volatility, resultType }: CatalogFunction): boolean {
  return language === 'sql' && !special && argumentCount === 0 && volatility !== 'v' && resultType < FIRST_USER_OID
}

/** Understands bodies that take single claims out of the settings, such as `auth.uid()` and `auth.role()`; the topic is none. */
function claimsOfBody(source: string): ReadonlySet<string> | null {
  const claims = new Set<string>()
  const take = (_text: string, claim: string): string => {
    claims.add(claim)
    return `''`
  }
  const rest = (tokensOf(source)?.join(' ') ?? '')
    .replaceAll(`current_setting ( 'realtime.topic' , true )`, `''`)
    .replaceAll(/current_setting \( 'request\.jwt\.claim\.([a-z_]+)' , true \)/g, take)
    .replaceAll(
      /(?:nullif \( )*current_setting \( 'request\.jwt\.claims' , true \)(?: , '' \))* :: jsonb?(?: \))? ->> '([A-Za-z_]+)'/g,
      take,
    )
  return /^select(?: (?:coalesce \(|nullif \(|''|:: uuid|:: text|[(),]))*$/.test(rest) ? claims : null
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

/** White space as Postgres has it: any other belongs to a name. */
const BODY_TOKEN = /[ \t\n\r\f]+|'(?:[^']|'')*'|[A-Za-z_]\w*|\d+(?:\.\d+)?|\$\d+(?:\.\w+)?|::|\|\||->>?|<=|>=|<>|!=|[-+=<>(),@]/y

/** Without white space between them, and with words in small letters; `null`: not understood. */
function tokensOf(source: string): string[] | null {
  const body = source.replace(/;[ \t\n\r\f]*$/, '')
  const tokens: string[] = []
  BODY_TOKEN.lastIndex = 0
  while (BODY_TOKEN.lastIndex < body.length) {
    const token = BODY_TOKEN.exec(body)?.[0]
    if (token === undefined) return null
    if (/[^ \t\n\r\f]/.test(token)) tokens.push(/^[A-Za-z_]/.test(token) ? token.toLowerCase() : token)
  }
  return tokens
}

const BODY_WORDS: ReadonlySet<string> = new Set('select and or not is null true false case when then else end in'.split(' '))
const BODY_FUNCTIONS: ReadonlySet<string> = new Set(['coalesce', 'nullif', 'current_setting', 'lower', 'upper'])
const BODY_TYPES: ReadonlySet<string> = new Set('uuid text json jsonb int integer bigint bool boolean numeric'.split(' '))

/** Understands bodies of one `select` without `from`, of constants, arguments, casts and few functions. */
function readsNoTable(source: string, names: ReadonlySet<string>): boolean {
  const tokens = tokensOf(source)
  if (tokens?.[0] !== 'select') return false
  return tokens.every((token, at) => {
    if (!/^[a-z_]/.test(token)) return true
    const called = tokens[at + 1] === '('
    return tokens[at - 1] === '::' ? BODY_TYPES.has(token) && !called : isBodyWord(token, called, names)
  })
}

function isBodyWord(token: string, called: boolean, names: ReadonlySet<string>): boolean {
  if (BODY_WORDS.has(token)) return true
  return called ? BODY_FUNCTIONS.has(token) : names.has(token)
}
