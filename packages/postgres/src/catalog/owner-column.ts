import { isNode, listed, oidOf, parseNodeTree, selectedValue, word, type TreeValue } from './node-tree.ts'

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
 * when there is none. `isUid` recognizes the functions that answer `sub` as a uuid.
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
  const selected = selectedValue(value)
  return selected !== null && isUidOf(selected, isUid)
}
