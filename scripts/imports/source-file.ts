import { parseAst } from 'vitest/node'
import { impureGlobals, impureMembers } from './rules.ts'

export interface Import {
  /** As written; `undefined` for an `import()` of something computed. */
  readonly target: string | undefined
  readonly typeOnly: boolean
  readonly line: number
}

/** A use of something outside the program: a timer, the clock, random numbers, the network, the process. */
export interface Impurity {
  readonly name: string
  readonly what: string
  readonly line: number
}

export interface SourceFile {
  readonly imports: readonly Import[]
  readonly impurities: readonly Impurity[]
}

interface Node {
  readonly type: string
  readonly start: number
  readonly [key: string]: unknown
}

/** Reads what a TypeScript file imports and touches. Throws on a syntax error. */
export function readSource(path: string, text: string): SourceFile {
  // The bundler's parser, the only one that the workspace has; Vitest passes it on under this name alone.
  // oxlint-disable-next-line typescript/no-deprecated
  const program = parseAst(text, { lang: path.endsWith('x') ? 'tsx' : 'ts' }, path) as unknown as Node
  const imports: Import[] = []
  const uses: (Impurity & { readonly root: string })[] = []
  const declared = new Set<string>()
  const lineOf = (node: Node): number => text.slice(0, node.start).split('\n').length
  const use = (node: Node, root: string, name: string, what: string): void => void uses.push({ root, name, what, line: lineOf(node) })

  const visit = (node: Node, parent: Node | undefined, inType: boolean): void => {
    for (const name of boundNames(node)) declared.add(name)
    const found = importOf(node)
    if (found !== undefined) imports.push({ ...found, line: lineOf(node) })
    if (!inType) {
      const global = node.type === 'Identifier' && isReference(node, parent) ? (node['name'] as string) : undefined
      const what = global === undefined ? undefined : impureGlobals.get(global)
      if (global !== undefined && what !== undefined) use(node, global, global, what)
      const member = memberName(node)
      const memberWhat = member === undefined ? undefined : impureMembers.get(member)
      if (member !== undefined && memberWhat !== undefined) use(node, member.split('.')[0]!, member, memberWhat)
      if (readsClock(node)) use(node, 'Date', 'new Date()', 'the clock')
    }
    const typeBelow = inType || isTypeNode(node)
    for (const [key, child] of children(node)) visit(child, node, typeBelow || key === 'typeAnnotation' || key === 'typeArguments')
  }
  visit(program, undefined, false)
  return { imports, impurities: uses.filter(({ root }) => !declared.has(root)).map(({ name, what, line }) => ({ name, what, line })) }
}

function importOf(node: Node): Omit<Import, 'line'> | undefined {
  const source = node['source'] as Node | null | undefined
  switch (node.type) {
    case 'ImportDeclaration':
      // `import { type A }` is no type import: what is left of it, `import {}`, still loads the module.
      return { target: source!['value'] as string, typeOnly: node['importKind'] === 'type' }
    case 'ExportNamedDeclaration':
      return source ? { target: source['value'] as string, typeOnly: node['exportKind'] === 'type' } : undefined
    case 'ExportAllDeclaration':
      return { target: source!['value'] as string, typeOnly: node['exportKind'] === 'type' }
    case 'ImportExpression':
      return { target: source?.type === 'Literal' ? (source['value'] as string) : undefined, typeOnly: false }
    case 'TSImportType':
      return { target: source!['value'] as string, typeOnly: true }
    default:
      return undefined
  }
}

// Names that a file declares itself are not the globals of the same name. One scope per file is enough here: a file
// that has a parameter `fetch` and also calls the global one is not worth a scope analysis.
function boundNames(node: Node): string[] {
  switch (node.type) {
    case 'VariableDeclarator':
    case 'ClassDeclaration':
      return patternNames(node['id'])
    case 'FunctionDeclaration':
    case 'FunctionExpression':
    case 'ArrowFunctionExpression':
      return [...patternNames(node['id']), ...((node['params'] ?? []) as Node[]).flatMap(patternNames)]
    case 'CatchClause':
      return patternNames(node['param'])
    case 'ImportSpecifier':
    case 'ImportDefaultSpecifier':
    case 'ImportNamespaceSpecifier':
      return patternNames(node['local'])
    default:
      return []
  }
}

function patternNames(pattern: unknown): string[] {
  if (!isNode(pattern)) return []
  switch (pattern.type) {
    case 'Identifier':
      return [pattern['name'] as string]
    case 'AssignmentPattern':
      return patternNames(pattern['left'])
    case 'RestElement':
      return patternNames(pattern['argument'])
    case 'ArrayPattern':
      return (pattern['elements'] as unknown[]).flatMap(patternNames)
    case 'ObjectPattern':
      return (pattern['properties'] as Node[]).flatMap((each) => patternNames(each.type === 'Property' ? each['value'] : each))
    default:
      return []
  }
}

/** Whether an identifier stands for a value, and not for the name of a property, a key or a label. */
function isReference(node: Node, parent: Node | undefined): boolean {
  switch (parent?.type) {
    case 'MemberExpression':
      return parent['object'] === node || parent['computed'] === true
    case 'Property':
      return parent['value'] === node || parent['computed'] === true
    case 'MethodDefinition':
    case 'PropertyDefinition':
    case 'AccessorProperty':
      return parent['key'] !== node || parent['computed'] === true
    case 'ImportSpecifier':
    case 'ExportSpecifier':
    case 'LabeledStatement':
    case 'BreakStatement':
    case 'ContinueStatement':
    case 'MetaProperty':
      return false
    default:
      return true
  }
}

function memberName(node: Node): string | undefined {
  if (node.type !== 'MemberExpression') return undefined
  const [object, property] = [node['object'] as Node, node['property'] as Node]
  if (object.type !== 'Identifier') return undefined
  if (node['computed'] !== true) return `${object['name'] as string}.${property['name'] as string}`
  return property.type === 'Literal' ? `${object['name'] as string}.${String(property['value'])}` : undefined
}

/** `new Date()` and `Date()`; a date made from a given time is pure. */
function readsClock(node: Node): boolean {
  if (node.type !== 'NewExpression' && node.type !== 'CallExpression') return false
  const callee = node['callee'] as Node
  if (callee.type !== 'Identifier' || callee['name'] !== 'Date') return false
  return node.type === 'CallExpression' || (node['arguments'] as Node[]).length === 0
}

const typedExpressions = new Set([
  'TSAsExpression',
  'TSSatisfiesExpression',
  'TSNonNullExpression',
  'TSTypeAssertion',
  'TSInstantiationExpression',
  'TSExportAssignment',
  'TSModuleDeclaration',
  'TSModuleBlock',
])

function isTypeNode(node: Node): boolean {
  return node.type.startsWith('TS') && !typedExpressions.has(node.type)
}

function* children(node: Node): Generator<[string, Node]> {
  for (const [key, value] of Object.entries(node))
    for (const each of Array.isArray(value) ? value : [value]) if (isNode(each)) yield [key, each]
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string'
}
