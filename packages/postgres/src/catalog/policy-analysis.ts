/**
 * What policies may read of a token. Nothing here decides which users see a row: it only says which identities the policies cannot
 * distinguish, and which certainly cannot see a row. What is not understood counts as reading everything.
 */
import {
  constantText,
  isNode,
  listed,
  nodesOf,
  oidOf,
  parseNodeTree,
  selectedValue,
  word,
  type TreeNode,
  type TreeValue,
} from './node-tree.ts'

export interface ExpressionUse {
  /** Functions by oid, and operators whose function the tree does not name. */
  readonly functions: ReadonlySet<number>
  readonly operators: ReadonlySet<number>
  /** Functions of whose JSON it takes these keys, and nothing else: `auth.jwt() ->> 'org'`. */
  readonly keys: ReadonlyMap<number, ReadonlySet<string>>
  /** Tables that it reads; their own policies count as well. */
  readonly tables: ReadonlySet<number>
  /** The policy reads the time or the session (`current_date`, `current_user`). */
  readonly session: boolean
}

/**
 * What policies are made of. `row`: the row's columns, claims and constants, so that they can be evaluated over any version
 * of the row. `analysed`: other tables and the time as well. `opaque`: anything else, such as a function that may read
 * tables, or the policies' own table.
 */
export type PolicyScope = 'row' | 'analysed' | 'opaque'

export type ClaimsUse = ReadonlySet<string> | 'all'

/** Oids from here on were made by users. */
export const FIRST_USER_OID = 16_384

/** `null`: there is something in it that is not on the list, so it may read anything. */
export function expressionUse(tree: string): ExpressionUse | null {
  const root = parseNodeTree(tree)
  if (root === null) return null
  const use: Use = { functions: new Set(), operators: new Set(), tables: new Set(), session: false, keys: new Map() }
  const taken = new Set<TreeNode>()
  for (const node of nodesOf(root)) {
    const call = takeKey(node, use)
    if (call !== null) taken.add(call)
    if (!collect(node, use)) return null
  }
  // What is used as a whole anywhere is used as a whole.
  for (const node of nodesOf(root)) if (node.type === 'FUNCEXPR' && !taken.has(node)) use.keys.delete(oidOf(node, 'funcid') ?? 0)
  return use
}

/** `->` and `->>` of json and jsonb, with a text on their right. */
const KEY_OPERATORS: ReadonlySet<number> = new Set([3211, 3477, 3962, 3963])

/** The call of whose JSON the node takes a key, if it does. */
function takeKey(node: TreeNode, { keys }: Use): TreeNode | null {
  if (node.type !== 'OPEXPR' || !KEY_OPERATORS.has(oidOf(node, 'opno') ?? 0)) return null
  const [left, right] = listed(node, 'args')
  const call = calledBy(left)
  const key = constantText(right)
  const oid = call === null ? null : oidOf(call, 'funcid')
  if (oid === null || key === null) return null
  keys.set(oid, (keys.get(oid) ?? new Set()).add(key))
  return call
}

function calledBy(value: TreeValue | undefined): TreeNode | null {
  if (!isNode(value)) return null
  return value.type === 'FUNCEXPR' ? value : calledBy(selectedValue(value) ?? undefined)
}

interface Use {
  readonly functions: Set<number>
  readonly operators: Set<number>
  readonly tables: Set<number>
  session: boolean
  readonly keys: Map<number, Set<string>>
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
    // Postgres before 16 calls it RTE.
    case 'RTE':
    case 'RANGETBLENTRY':
      return collectRange(node, use)
    case 'SQLVALUEFUNCTION':
      use.session = true
      return true
    case 'PARAM':
      // The output of the subquery in `x in (select …)`; other parameters do not occur in a policy.
      return word(node, 'paramkind') === SUBLINK_OUTPUT
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

/** `PARAM_SUBLINK` of Postgres's `primnodes.h`. */
const SUBLINK_OUTPUT = '2'

/** The nodes whose meaning lies in their parts alone, or in what `collect` takes from them. */
const KNOWN_NODES: ReadonlySet<string> = new Set([
  ...[
    'QUERY',
    'RTE',
    'RANGETBLENTRY',
    'RTEPERMISSIONINFO',
    'ALIAS',
    'FROMEXPR',
    'RANGETBLREF',
    'JOINEXPR',
    'TARGETENTRY',
    'SORTGROUPCLAUSE',
  ],
  ...['VAR', 'CONST', 'OPEXPR', 'DISTINCTEXPR', 'NULLIFEXPR', 'SCALARARRAYOPEXPR', 'FUNCEXPR', 'BOOLEXPR', 'NULLTEST', 'BOOLEANTEST'],
  ...['SUBLINK', 'COALESCE', 'COALESCEEXPR', 'CASE', 'CASEEXPR', 'WHEN', 'CASEWHEN', 'CASETESTEXPR', 'ARRAY', 'ARRAYEXPR'],
  ...['RELABELTYPE', 'COERCEVIAIO', 'MINMAX', 'MINMAXEXPR', 'AGGREF', 'SQLVALUEFUNCTION', 'PARAM'],
])
