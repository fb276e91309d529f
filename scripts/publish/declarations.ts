import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'

export interface DeclarationsToCopy {
  /** The `index.d.ts` that the compiler wrote. */
  readonly entry: string
  readonly into: string
  /** CommonJS needs a package.json of its own in a package of modules: Node and TypeScript look at the nearest. */
  readonly type: 'esm' | 'cjs'
  /** Packages whose declarations are copied along, into a folder of that name, with their `index.d.ts`. */
  readonly inlined?: Readonly<Record<string, string>>
}

/** A module's name in `from '…'` or `import('…')`. */
const MODULE = /(\bfrom\s*|\bimport\s*\(?\s*)(['"])([^'"]+)\2/g

/**
 * Copies a declaration file and all that it reaches. In the copies, relative imports end in `.js`, as every version
 * of TypeScript reads them, and inlined packages are relative imports.
 */
export function copyDeclarations({ entry, into, type, inlined = {} }: DeclarationsToCopy): void {
  const targets = new Map<string, string>()
  const waiting: string[] = []

  /** Where a file goes; noted to be copied when it is met for the first time. */
  const targetOf = (file: string): string => {
    let target = targets.get(file)
    if (target === undefined) {
      const [name, root] = Object.entries(inlined).find(([, index]) => isWithin(dirname(index), file)) ?? ['', entry]
      target = join(into, name.split('/').at(-1)!, relative(dirname(root), file))
      targets.set(file, target)
      waiting.push(file)
    }
    return target
  }

  targetOf(entry)
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    const source: string = file
    const target = targetOf(source)
    const text = readFileSync(source, 'utf8').replace(MODULE, (whole, before: string, quote: string, name: string) => {
      const imported = name.startsWith('.') ? resolve(dirname(source), name.replace(/(\.[jt]s)?$/, '.d.ts')) : inlined[name]
      if (imported === undefined) return whole
      return `${before}${quote}${moduleName(dirname(target), targetOf(imported))}${quote}`
    })
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, text.replace(/\n?\/\/# sourceMappingURL=.*\n?$/, '\n'))
  }
  if (type === 'cjs') writeFileSync(join(into, 'package.json'), '{ "type": "commonjs", "sideEffects": false }\n')
}

function moduleName(from: string, target: string): string {
  const path = relative(from, target)
    .split(sep)
    .join('/')
    .replace(/\.d\.ts$/, '.js')
  return path.startsWith('.') ? path : `./${path}`
}

function isWithin(folder: string, file: string): boolean {
  return !relative(folder, file).startsWith('..')
}
