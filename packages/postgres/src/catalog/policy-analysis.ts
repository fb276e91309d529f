/**
 * What policies may read of a token. Nothing here decides who sees a row: it only says which identities cannot be told
 * apart by the policies, and who cannot see a row for certain. What is not understood counts as reading everything.
 */
import { isNode, listed, nodesOf, parseNodeTree, word, type TreeNode, type TreeValue } from './node-tree.ts'

/** A function as `pg_proc` describes it. */
export interface FunctionFacts {
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

/** What one expression reaches. */
export interface ExpressionUse {
  /** Functions by oid, and operators whose function the tree does not name. */
  readonly functions: ReadonlySet<number>
  readonly operators: ReadonlySet<number>
  /** Tables that it reads; their own policies count as well. */
  readonly tables: ReadonlySet<number>
  /** It reads the time or the session (`current_date`, `current_user`). */
  readonly session: boolean
}

/**
 * What policies are made of. `row`: the row's columns, claims and constants, so that they can be evaluated over any version
 * of the row. `analysed`: other tables and the time as well. `opaque`: anything else, such as a function that may read
 * tables, or the policies' own table.
 */
export type PolicyScope = 'row' | 'analysed' | 'opaque'

/** Claims by name, or `all`. */
export type ClaimsUse = ReadonlySet<string> | 'all'

/** Oids from here on were made by users. */
const FIRST_USER_OID = 16_384

/** `null`: there is something in it that is not on the list, so it may read anything. */
export function expressionUse(tree: string): ExpressionUse | null {
  const root = parseNodeTree(tree)
  if (root === null) return null
  const use: Use = { functions: new Set(), operators: new Set(), tables: new Set(), session: false }
  for (const node of nodesOf(root)) if (!collect(node, use)) return null
  return use
}

interface Use {
  readonly functions: Set<number>
  readonly operators: Set<number>
  readonly tables: Set<number>
  session: boolean
}

function collect(node: TreeNode, use: Use): boolean {
  if (!KNOWN_NODES.has(node.type)) return false
  const resultType = oidOf(node, 'resulttype')
  if (resultType !== null && resultType >= FIRST_USER_OID) return false
  switch (node.type) {
    case 'FUNCEXPR':
      return add(use.functions, oidOf(node, 'funcid'))
    case 'AGGREF':
      return add(use.functions, oidOf(node, 'aggfnoid'))
    case 'OPEXPR':
    case 'DISTINCTEXPR':
    case 'NULLIFEXPR':
    case 'SCALARARRAYOPEXPR': {
      const functionOid = oidOf(node, 'opfuncid')
      return functionOid === null || functionOid === 0 ? add(use.operators, oidOf(node, 'opno')) : add(use.functions, functionOid)
    }
    case 'RANGETBLENTRY':
      return collectRange(node, use)
    case 'SQLVALUEFUNCTION':
      use.session = true
      return true
    default:
      return true
  }
}

function collectRange(node: TreeNode, use: Use): boolean {
  switch (word(node, 'rtekind')) {
    case '0': {
      const kind = word(node, 'relkind')
      return (kind === 'r' || kind === 'p') && add(use.tables, oidOf(node, 'relid'))
    }
    case '1':
    case '2':
      return true
    default:
      return false
  }
}

function add(oids: Set<number>, oid: number | null): boolean {
  if (oid === null || oid === 0) return false
  oids.add(oid)
  return true
}

function oidOf(node: TreeNode, field: string): number | null {
  const text = word(node, field)
  return text !== null && /^\d+$/.test(text) ? Number(text) : null
}

/** The nodes whose meaning lies in their parts alone, or in what `collect` takes from them. */
const KNOWN_NODES: ReadonlySet<string> = new Set([
  ...['QUERY', 'RANGETBLENTRY', 'RTEPERMISSIONINFO', 'ALIAS', 'FROMEXPR', 'RANGETBLREF', 'JOINEXPR', 'TARGETENTRY', 'SORTGROUPCLAUSE'],
  ...['VAR', 'CONST', 'OPEXPR', 'DISTINCTEXPR', 'NULLIFEXPR', 'SCALARARRAYOPEXPR', 'FUNCEXPR', 'BOOLEXPR', 'NULLTEST', 'BOOLEANTEST'],
  ...['SUBLINK', 'COALESCE', 'COALESCEEXPR', 'CASE', 'CASEEXPR', 'WHEN', 'CASEWHEN', 'CASETESTEXPR', 'ARRAY', 'ARRAYEXPR'],
  ...['RELABELTYPE', 'COERCEVIAIO', 'MINMAX', 'MINMAXEXPR', 'AGGREF', 'SQLVALUEFUNCTION'],
])

/** The claims that a function reads; `null` when that cannot be told. */
export function claimsReadBy(facts: FunctionFacts): ReadonlySet<string> | null {
  // What is built in and immutable knows nothing of settings.
  if (facts.oid < FIRST_USER_OID) return facts.volatility === 'i' ? NO_CLAIMS : null
  if (facts.language !== 'sql' || facts.special || facts.argumentCount !== 0 || facts.volatility === 'v') return null
  return claimsOfBody(facts.source)
}

const NO_CLAIMS: ReadonlySet<string> = new Set()

/** Understands bodies that take single claims out of the settings, such as `auth.uid()` and `auth.role()`. */
function claimsOfBody(source: string): ReadonlySet<string> | null {
  const body = source.replace(/\s+/g, '').replace(/;$/, '')
  const claims = new Set<string>()
  const take = (_text: string, claim: string): string => {
    claims.add(claim)
    return '@'
  }
  const rest = body
    .replaceAll(/current_setting\('request\.jwt\.claim\.([A-Za-z_]+)',true\)/g, take)
    .replaceAll(/(?:nullif\()*current_setting\('request\.jwt\.claims',true\)(?:,''\))*::jsonb?\)?->>'([A-Za-z_]+)'/g, take)
  return /^select(?:coalesce|nullif|@|''|::uuid|::text|[(),])*$/i.test(rest) ? claims : null
}

/** What a call of the function reads: nothing but its arguments and claims, the time or the session, or perhaps tables. */
export function functionScope(facts: FunctionFacts): PolicyScope {
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

/** A policy that counts for SELECT, for one role. */
export interface PolicyTree {
  readonly permissive: boolean
  /** `null`: no condition. */
  readonly tree: string | null
}

const UUID_TYPE = '2950'
const UUID_EQ = '2972'

/**
 * The attribute number of a uuid column that must equal the token's `sub` in every row that these policies show; `null`
 * when there is none. `isUid` tells the functions that answer `sub` as a uuid.
 */
export function ownerColumn(policies: readonly PolicyTree[], isUid: (functionOid: number) => boolean): number | null {
  const columns = policies.map(({ permissive, tree }) => ({
    permissive,
    columns: tree === null ? new Set<number>() : ownerColumns(parseNodeTree(tree), isUid),
  }))
  for (const { permissive, columns: found } of columns) if (!permissive) for (const column of found) return column
  const shows = columns.filter(({ permissive }) => permissive)
  const [first, ...others] = shows
  if (first === undefined) return null
  for (const column of first.columns) if (others.every((other) => other.columns.has(column))) return column
  return null
}

function ownerColumns(root: TreeValue | null, isUid: (functionOid: number) => boolean): Set<number> {
  const found = new Set<number>()
  const visit = (value: TreeValue | undefined): void => {
    if (!isNode(value)) return
    if (value.type === 'BOOLEXPR' && word(value, 'boolop') === 'and') listed(value, 'args').forEach(visit)
    if (value.type !== 'OPEXPR' || word(value, 'opno') !== UUID_EQ) return
    const [one, other] = listed(value, 'args')
    const column = columnOf(one) ?? columnOf(other)
    if (column !== null && (isUidOf(one, isUid) || isUidOf(other, isUid))) found.add(column)
  }
  if (root !== null) visit(root)
  return found
}

function columnOf(value: TreeValue | undefined): number | null {
  if (!isNode(value) || value.type !== 'VAR' || word(value, 'varlevelsup') !== '0' || word(value, 'varno') !== '1') return null
  return word(value, 'vartype') === UUID_TYPE ? oidOf(value, 'varattno') : null
}

/** `auth.uid()`, or `(select auth.uid())`. */
function isUidOf(value: TreeValue | undefined, isUid: (functionOid: number) => boolean): boolean {
  if (!isNode(value)) return false
  if (value.type === 'FUNCEXPR') return isUid(oidOf(value, 'funcid') ?? 0)
  if (value.type !== 'SUBLINK' || word(value, 'subLinkType') !== '4') return false
  const query = value.fields.get('subselect')?.[0]
  if (!isNode(query) || query.type !== 'QUERY') return false
  const targets = listed(query, 'targetList')
  const join = query.fields.get('jointree')?.[0]
  const plain = targets.length === 1 && listed(query, 'rtable').length === 0 && isNode(join) && word(join, 'quals') === '<>'
  const target = targets[0]
  return (
    plain &&
    word(query, 'limitCount') === '<>' &&
    word(query, 'limitOffset') === '<>' &&
    isNode(target) &&
    isUidOf(target.fields.get('expr')?.[0], isUid)
  )
}
