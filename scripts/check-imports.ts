/** Checks every package's imports against `imports/rules.ts`. Usage: tsx scripts/check-imports.ts [packages folder] */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { browserPackages, packageRules, pureNodeModules, scope, type PackageRule } from './imports/rules.ts'
import { readSource, type Import, type SourceFile } from './imports/source-file.ts'

/** A sentence per broken rule, in the order of the files. */
export function checkImports(packagesFolder: string): string[] {
  const faults: string[] = []
  for (const name of readdirSync(packagesFolder).toSorted()) {
    const source = join(packagesFolder, name, 'src')
    if (!existsSync(source)) continue
    const rule = packageRules[name]
    if (rule === undefined) faults.push(`${name}: a package that scripts/imports/rules.ts does not list`)
    else faults.push(...checkPackage(name, rule, source))
  }
  return faults
}

interface Place {
  readonly package: string
  readonly rule: PackageRule
  readonly root: string
  /** Relative to `root`, with `/`. */
  readonly path: string
  /** All source files of the package. */
  readonly files: ReadonlySet<string>
}

function checkPackage(name: string, rule: PackageRule, root: string): string[] {
  const files = new Set(sourceFiles(root))
  const graph = new Map<string, readonly string[]>()
  const faults: string[] = []
  for (const path of files) {
    const place = { package: name, rule, root, path, files }
    const source = parse(place, faults)
    if (source === undefined) continue
    faults.push(...purityFaults(place, source), ...source.imports.flatMap((each) => importFaults(place, each)))
    graph.set(path, [...new Set(source.imports.flatMap((each) => inPackage(place, each.target) ?? []))])
  }
  return [...faults.map((fault) => `${name}/src/${fault}`), ...cycles(graph).map((cycle) => `${name}: cycle: ${cycle}`)]
}

function parse(place: Place, faults: string[]): SourceFile | undefined {
  try {
    return readSource(place.path, readFileSync(join(place.root, place.path), 'utf8'))
  } catch (error) {
    faults.push(`${place.path}: cannot be parsed: ${String(error).split('\n')[0]}`)
    return undefined
  }
}

function purityFaults({ path, rule }: Place, { impurities }: SourceFile): string[] {
  if (rule.io === undefined || inIo(path)) return []
  return impurities.map(({ name, what, line }) => `${path}:${line}: ${name} is ${what} and belongs in io/`)
}

function importFaults(place: Place, found: Import): string[] {
  const { target, line } = found
  const fault = (sentence: string): string[] => [`${place.path}:${line}: ${sentence}`]
  if (target === undefined)
    return place.rule.io === undefined || inIo(place.path) ? [] : fault('an import() of a computed name belongs in io/')
  if (target.startsWith('.') || target.startsWith('/')) return relativeFault(place, target).flatMap(fault)
  return packageFault(place, found, target).flatMap(fault)
}

function relativeFault(place: Place, target: string): string[] {
  const to = inPackage(place, target)
  if (to === undefined) return [`${target} leaves the package`]
  if (isTest(to)) return [`${target} is a test`]
  if (!existsSync(join(place.root, to))) return [`${target} does not exist (relative imports end in .ts)`]
  if (to === 'index.ts') return ['index.ts is for other packages']
  if (place.rule.io !== undefined && inIo(to) && !inIo(place.path) && place.path !== 'index.ts') return [`only index.ts may import ${to}`]
  return wayFault(place, to)
}

function wayFault({ path, rule }: Place, to: string): string[] {
  const step = (file: string): number => (rule.way ?? []).findIndex((group) => group.includes(file.split('/')[0]!))
  const [from, next] = [step(path), step(to)]
  const [here, there] = [path.split('/')[0]!, to.split('/')[0]!]
  if (from < 0 || next < 0 || next > from || here === there) return []
  return [`${here} may not import ${there}: ${rule.way!.map((group) => group.join(' | ')).join(' → ')}`]
}

function packageFault({ package: name, rule, path }: Place, { typeOnly }: Import, target: string): string[] {
  if (target.startsWith(scope) && target.split('/').length > 2) return [`${target} reaches into a package; import the package itself`]
  const { anywhere, io } = rule
  if (anywhere.some((entry) => allows(entry, target, typeOnly))) return []
  if (anywhere.some((entry) => allows(entry, target, true))) return [`${target} may only be imported as a type`]
  if (target.startsWith('node:')) return nodeFault(name, rule, path, target)
  if (!io?.some((entry) => allows(entry, target, typeOnly))) return [`${name} may not import ${target}`]
  return inIo(path) ? [] : [`${target} may only be imported in io/`]
}

function nodeFault(name: string, rule: PackageRule, path: string, target: string): string[] {
  if (rule.io !== undefined && inIo(path)) return []
  if (!browserPackages.has(name)) return pureNodeModules.has(target) ? [] : [`${target} belongs in io/`]
  return [rule.io === undefined ? `${name} runs in browsers and may not import ${target}` : `${target} belongs in io/`]
}

function allows(entry: string, target: string, typeOnly: boolean): boolean {
  const wanted = entry.startsWith('type ') ? entry.slice('type '.length) : entry
  if (wanted !== entry && !typeOnly) return false
  if (wanted.endsWith('*')) return target.startsWith(wanted.slice(0, -1))
  return target === wanted || target.startsWith(`${wanted}/`)
}

/** The file that a relative import names, relative to `src`; `undefined` when it is outside or not relative. */
function inPackage({ root, path }: Place, target: string | undefined): string | undefined {
  if (target === undefined || !target.startsWith('.')) return undefined
  const to = relative(root, resolve(root, dirname(path), target))
    .split(sep)
    .join('/')
  return to.startsWith('..') ? undefined : to
}

function inIo(path: string): boolean {
  return path.startsWith('io/')
}

/** One path per cycle, each named once. */
function cycles(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const found: string[] = []
  const done = new Set<string>()
  const walk = (file: string, way: readonly string[]): void => {
    const start = way.indexOf(file)
    if (start >= 0) return void found.push([...way.slice(start), file].join(' → '))
    if (done.has(file)) return
    for (const next of graph.get(file) ?? []) walk(next, [...way, file])
    done.add(file)
  }
  for (const file of graph.keys()) walk(file, [])
  return found
}

function sourceFiles(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .map((path) => path.split(sep).join('/'))
    .filter((path) => /\.tsx?$/.test(path) && !isTest(path))
    .toSorted()
}

function isTest(path: string): boolean {
  return /\.(test|test-d|bench)\.tsx?$/.test(path)
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const folder = process.argv[2] ?? fileURLToPath(new URL('../packages', import.meta.url))
  const faults = checkImports(folder)
  for (const fault of faults) console.error(fault)
  console.log(faults.length === 0 ? 'imports: every arrow points the right way' : `imports: ${faults.length} faults`)
  process.exitCode = faults.length === 0 ? 0 : 1
}
