/**
 * Changes one operator, constant, condition or statement of a source file at a time, runs the tests, and lists the changes
 * that no test noticed. The file is written and put back; nothing else may use the folder meanwhile.
 * Usage: tsx scripts/mutate.ts [--every N] [--tests PATH…] FILE…   (tests: by default those beside each file)
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { createVitest, parseAst, type TestSpecification, type Vitest } from 'vitest/node'

interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [key: string]: unknown
}

interface Mutant {
  readonly start: number
  readonly end: number
  readonly text: string
}

const OPERATORS: Readonly<Record<string, string>> = {
  ...{ '===': '!==', '!==': '===', '<': '<=', '<=': '<', '>': '>=', '>=': '>' },
  ...{
    '+': '-',
    '-': '+',
    '*': '/',
    '/': '*',
    '%': '*',
    '&&': '||',
    '||': '&&',
    '??': '&&',
    '+=': '-=',
    '-=': '+=',
    '++': '--',
    '--': '++',
  },
}

/** The changes that make sense in a syntax tree. Types and imports are left alone. */
export function mutantsOf(text: string, path: string): Mutant[] {
  // oxlint-disable-next-line typescript/no-deprecated
  const program = parseAst(text, { lang: 'ts' }, path) as unknown as Node
  const mutants: Mutant[] = []
  const visit = (node: Node): void => {
    if (/^(TS(?!Satisfies|As|NonNull)|Import)/.test(node.type)) return
    mutants.push(...mutantsAt(node, text))
    for (const child of Object.values(node)) for (const one of Array.isArray(child) ? child : [child]) if (isNode(one)) visit(one)
  }
  visit(program)
  return mutants
}

function mutantsAt(node: Node, text: string): Mutant[] {
  switch (node.type) {
    case 'BinaryExpression':
    case 'LogicalExpression':
    case 'AssignmentExpression': {
      const [operator, left, right] = [node['operator'] as string, node['left'] as Node, node['right'] as Node]
      const start = left.end + text.slice(left.end, right.start).indexOf(operator)
      return operator in OPERATORS ? [{ start, end: start + operator.length, text: OPERATORS[operator]! }] : []
    }
    case 'UnaryExpression':
      return node['operator'] === '!' ? [{ start: node.start, end: node.start + 1, text: '' }] : []
    case 'UpdateExpression': {
      const start = node['prefix'] === true ? node.start : node.end - 2
      return [{ start, end: start + 2, text: OPERATORS[node['operator'] as string]! }]
    }
    case 'IfStatement':
    case 'ConditionalExpression': {
      const { start, end } = node['test'] as Node
      return ['true', 'false'].map((constant) => ({ start, end, text: constant }))
    }
    case 'Literal': {
      const { value } = node as unknown as { value: unknown }
      if (typeof value === 'boolean') return [{ ...node, text: String(!value) }]
      if (typeof value === 'number')
        return [{ ...node, text: value === 0 ? '1' : value === 1 ? '2' : `(${text.slice(node.start, node.end)} / 2)` }]
      return []
    }
    case 'ExpressionStatement': {
      const { type } = node['expression'] as Node
      return type === 'CallExpression' || type === 'AssignmentExpression' ? [{ ...node, text: ';' }] : []
    }
    default:
      return []
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string'
}

async function notices(vitest: Vitest, specifications: TestSpecification[]): Promise<boolean> {
  const { testModules, unhandledErrors } = await vitest.runTestSpecifications(specifications)
  return unhandledErrors.length > 0 || testModules.some((module) => !module.ok())
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { every: { type: 'string', default: '1' }, tests: { type: 'string', multiple: true, default: [] } },
  })
  const every = Number(values.every)
  // A change may make a loop endless: each file of tests has a process of its own, which ends with its time-out.
  const vitest = await createVitest('test', {
    watch: false,
    project: 'node',
    bail: 1,
    reporters: [{}],
    testTimeout: 5_000,
    teardownTimeout: 1_000,
  })
  const all = (await vitest.globTestSpecifications()).filter(({ moduleId }) => moduleId.endsWith('.test.ts'))
  let [survived, tried] = [0, 0]
  for (const path of positionals.map((each) => resolve(each))) {
    const folders = values.tests.length > 0 ? values.tests.map((each) => resolve(each)) : [dirname(path)]
    const specifications = all.filter(({ moduleId }) => folders.some((folder) => moduleId.startsWith(folder)))
    const text = readFileSync(path, 'utf8')
    const put = (content: string): void => {
      writeFileSync(path, content)
      vitest.invalidateFile(path)
    }
    if (await notices(vitest, specifications)) throw new Error(`the tests of ${path} fail without any change`)
    const mutants = mutantsOf(text, path).filter((_, at) => at % every === 0)
    try {
      for (const { start, end, text: instead } of mutants) {
        put(text.slice(0, start) + instead + text.slice(end))
        tried++
        if (await notices(vitest, specifications)) continue
        survived++
        const line = text.slice(0, start).split('\n').length
        process.stdout.write(`${path}:${line}: ${JSON.stringify(text.slice(start, end).slice(0, 100))} → ${JSON.stringify(instead)}\n`)
      }
    } finally {
      put(text)
    }
  }
  process.stdout.write(`${tried} changes, ${tried - survived} noticed, ${survived} not\n`)
  await vitest.close()
  return survived === 0 ? 0 : 1
}

if (process.argv[1]?.endsWith('mutate.ts')) process.exitCode = await main()
