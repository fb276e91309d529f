/** Reads the text form in which Postgres keeps expressions (`pg_node_tree`). */
export interface TreeNode {
  /** `OPEXPR`, `FUNCEXPR`, … */
  readonly type: string
  readonly fields: ReadonlyMap<string, readonly TreeValue[]>
}

export type TreeValue = string | TreeNode | readonly TreeValue[]

export function parseNodeTree(text: string): TreeValue | null {
  const tokens = tokenize(text)
  const reader = { tokens, at: 0 }
  const value = readValue(reader)
  return value === null || reader.at !== tokens.length ? null : value
}

export function* nodesOf(value: TreeValue): Generator<TreeNode> {
  if (typeof value === 'string') return
  if (isNode(value)) {
    yield value
    for (const values of value.fields.values()) for (const each of values) yield* nodesOf(each)
  } else for (const each of value) yield* nodesOf(each)
}

export function isNode(value: TreeValue | undefined): value is TreeNode {
  return typeof value === 'object' && 'fields' in value
}

/** A field that is one word; `null` when it is not. */
export function word(node: TreeNode, field: string): string | null {
  const value = node.fields.get(field)?.[0]
  return typeof value === 'string' ? value : null
}

export function listed(node: TreeNode, field: string): readonly TreeValue[] {
  const value = node.fields.get(field)?.[0]
  return value !== undefined && typeof value !== 'string' && !isNode(value) ? value : []
}

interface Reader {
  readonly tokens: readonly string[]
  at: number
}

function tokenize(text: string): string[] {
  // A backslash takes the character after it along, whatever it is.
  return text.match(/[(){}]|(?:\\[\s\S]|[^\s(){}\\])+/g) ?? []
}

function readValue(reader: Reader): TreeValue | null {
  const token = reader.tokens[reader.at++]
  if (token === undefined || token === ')' || token === '}') return null
  if (token === '(') return readList(reader)
  return token === '{' ? readNode(reader) : token
}

function readList(reader: Reader): TreeValue[] | null {
  const items: TreeValue[] = []
  while (reader.tokens[reader.at] !== ')') {
    const item = readValue(reader)
    if (item === null) return null
    items.push(item)
  }
  reader.at++
  return items
}

function readNode(reader: Reader): TreeNode | null {
  const type = reader.tokens[reader.at++]
  if (type === undefined || !/^[A-Z_]+$/.test(type)) return null
  const fields = new Map<string, TreeValue[]>()
  let values: TreeValue[] | null = null
  for (;;) {
    const token = reader.tokens[reader.at]
    if (token === undefined) return null
    if (token === '}') {
      reader.at++
      return { type, fields }
    }
    if (token.startsWith(':')) {
      reader.at++
      values = []
      fields.set(token.slice(1), values)
      continue
    }
    const value = readValue(reader)
    if (value === null || values === null) return null
    values.push(value)
  }
}

export function oidOf(node: TreeNode, field: string): number | null {
  const text = word(node, field)
  return text !== null && /^\d+$/.test(text) ? Number(text) : null
}

/** The expression that a subquery selects if it reads no table and has one column, as in `(select auth.uid())`; else `null`. */
export function selectedValue(value: TreeNode): TreeValue | null {
  if (value.type !== 'SUBLINK' || word(value, 'subLinkType') !== '4') return null
  const query = value.fields.get('subselect')?.[0]
  if (!isNode(query) || query.type !== 'QUERY') return null
  const [target, ...others] = listed(query, 'targetList')
  const join = query.fields.get('jointree')?.[0]
  const isPlain =
    isNode(target) && others.length === 0 && listed(query, 'rtable').length === 0 && isNode(join) && word(join, 'quals') === '<>'
  if (!isPlain || word(query, 'limitCount') !== '<>' || word(query, 'limitOffset') !== '<>') return null
  return target.fields.get('expr')?.[0] ?? null
}

const TEXT_TYPE = '25'

/** A constant text of printable ASCII; `null`: it is something else. */
export function constantText(value: TreeValue | undefined): string | null {
  if (!isNode(value) || value.type !== 'CONST' || word(value, 'consttype') !== TEXT_TYPE || word(value, 'constisnull') !== 'false')
    return null
  // Its length, and its bytes, of which the first four hold the length again.
  const [length, open, ...bytes] = value.fields.get('constvalue') ?? []
  if (open !== '[' || bytes.pop() !== ']' || bytes.length !== Number(length) || bytes.length < 4) return null
  const codes = bytes.slice(4).map(Number)
  return codes.every((code) => code >= 0x20 && code < 0x7f) ? String.fromCharCode(...codes) : null
}
