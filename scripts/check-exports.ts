/** Finds exports that no other file uses. Usage: tsx scripts/check-exports.ts [root folder] */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseAst } from 'vitest/node'
import { publicPackages, scope, standIns } from './imports/rules.ts'

interface Node {
  readonly type: string
  readonly [key: string]: unknown
}

/** What one file takes from another: one name, or all of them. */
interface Use {
  readonly from: string
  /** `*`: any name may be used. */
  readonly name: string
  /** The name under which the file exports it again; `null`: it is used here. */
  readonly as: string | null
}

interface Exports {
  readonly names: string[]
  /** Types that the file itself needs: they belong to what it exports. */
  readonly ownTypes: ReadonlySet<string>
  readonly uses: Use[]
}

const FOLDERS = ['packages', 'bench', 'scripts', 'examples']

/**
 * A line per export of a package that no other file uses, tests included. What `index.ts` of a public package exports is
 * used by others. A type may be exported for the signatures of its own file.
 */
export function deadExports(root: string): string[] {
  const files = FOLDERS.flatMap((folder) => sourcesIn(join(root, folder)))
  const read = new Map(files.map((file) => [file, readExports(file, root)]))
  const used = new Set<string>()
  const mark = (file: string, name: string): void => {
    const key = `${file}#${name}`
    if (used.has(key)) return
    used.add(key)
    const { names = [], uses = [] } = read.get(file) ?? {}
    if (name === '*') for (const each of names) mark(file, each)
    for (const use of uses) {
      if (use.as === name || (use.as !== null && name === '*')) mark(use.from, use.name)
      else if (use.as === '*' && !names.includes(name)) mark(use.from, name)
    }
  }
  for (const [file, { uses }] of read) for (const { from, name, as } of uses) if (as === null && from !== file) mark(from, name)
  for (const file of [...publicPackages.map((name) => `${name}/src/index.ts`), ...standIns]) mark(join(root, 'packages', file), '*')
  return [...read]
    .filter(([file]) => /^packages\/\w[\w-]*\/src\//.test(relative(root, file)))
    .flatMap(([file, { names, ownTypes }]) =>
      names.filter((name) => !used.has(`${file}#${name}`) && !ownTypes.has(name)).map((name) => `${relative(root, file)}: ${name}`),
    )
    .toSorted()
}

function sourcesIn(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => /(?<!\.test-d)\.(tsx?|mjs)$/.test(path) && !/(^|\/)(node_modules|dist)\//.test(path) && !path.endsWith('.d.ts'))
    .map((path) => join(folder, path))
}

function readExports(file: string, root: string): Exports {
  const names: string[] = []
  const uses: Use[] = []
  const typeNames = new Set<string>()
  const visit = (node: Node): void => {
    if (node.type === 'TSTypeReference' || node.type === 'TSInterfaceHeritage' || node.type === 'TSClassImplements') {
      const name = nameOf(node['typeName'] ?? node['expression'])
      if (name !== undefined) typeNames.add(name)
    }
    const source = (node['source'] as Node | null | undefined)?.['value']
    const from = typeof source === 'string' ? fileOf(source, file, root) : undefined
    const specifiers = (node['specifiers'] ?? []) as Node[]
    if (node.type === 'ExportAllDeclaration') {
      const as = nameOf(node['exported'])
      if (as !== undefined) names.push(as)
      if (from !== undefined) uses.push({ from, name: '*', as: as ?? '*' })
    } else if (node.type === 'ExportNamedDeclaration') {
      for (const each of specifiers) {
        names.push(nameOf(each['exported'])!)
        if (from !== undefined) uses.push({ from, name: nameOf(each['local'])!, as: nameOf(each['exported'])! })
      }
      names.push(...declaredNames(node['declaration']))
    } else if (node.type === 'ImportDeclaration' && from !== undefined) {
      for (const each of specifiers) uses.push({ from, name: each.type === 'ImportSpecifier' ? nameOf(each['imported'])! : '*', as: null })
    } else if ((node.type === 'ImportExpression' || node.type === 'TSImportType') && from !== undefined)
      uses.push({ from, name: '*', as: null })
    for (const child of Object.values(node)) for (const each of Array.isArray(child) ? child : [child]) if (isNode(each)) visit(each)
  }
  // oxlint-disable-next-line typescript/no-deprecated
  visit(parseAst(readFileSync(file, 'utf8'), { lang: file.endsWith('x') ? 'tsx' : 'ts' }, file) as unknown as Node)
  return { names, uses, ownTypes: typeNames }
}

function declaredNames(declaration: unknown): string[] {
  if (!isNode(declaration)) return []
  const { id, declarations = [] } = declaration as Node & { id?: Node; declarations?: Node[] }
  return [id, ...declarations.flatMap((each) => patternIds(each['id']))].flatMap((each) => nameOf(each) ?? [])
}

function patternIds(pattern: unknown): unknown[] {
  if (!isNode(pattern)) return []
  if (pattern.type === 'ArrayPattern') return (pattern['elements'] as unknown[]).flatMap(patternIds)
  if (pattern.type === 'ObjectPattern') return (pattern['properties'] as Node[]).flatMap((each) => patternIds(each['value']))
  return [pattern]
}

/** The file that an import names; `undefined`: it is none of ours. */
function fileOf(target: string, from: string, root: string): string | undefined {
  if (target.startsWith('.')) return resolve(dirname(from), target)
  return target.startsWith(scope) ? join(root, 'packages', target.slice(scope.length), 'src/index.ts') : undefined
}

function nameOf(node: unknown): string | undefined {
  if (!isNode(node)) return undefined
  return (node['name'] ?? node['value']) as string | undefined
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string'
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const dead = deadExports(process.argv[2] ?? fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, ''))
  for (const each of dead) console.error(`${each} is exported and used nowhere else`)
  console.log(dead.length === 0 ? 'exports: each is used' : `exports: ${dead.length} are used nowhere`)
  process.exitCode = dead.length === 0 ? 0 : 1
}
