/**
 * Changes one operator, constant, condition or statement of a source file at a time, runs the tests, and lists the changes
 * that no test noticed. The file is written and put back, also at SIGINT and SIGTERM; nothing else may use the folder meanwhile.
 * Usage: tsx scripts/mutate.ts [--every N] [--tests PATH…] FILE…   (tests: by default those beside each file)
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { parseAst } from 'vitest/node'

const DEADLINE_MS = 60_000

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

/** A change may make a loop endless, so each run is a process of its own, with a deadline; its workers are threads, which end with it. */
async function notices(tests: readonly string[], signal: AbortSignal): Promise<boolean> {
  const vitest = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url))
  const args = [vitest, 'run', '--project', 'node', '--pool', 'threads', '--bail', '1', '--reporter', 'dot', ...tests]
  const run = spawn(process.execPath, args, { stdio: 'ignore', timeout: DEADLINE_MS, killSignal: 'SIGKILL', signal })
  const [code] = (await once(run, 'exit')) as [number | null]
  return code !== 0
}

async function main(signal: AbortSignal): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { every: { type: 'string', default: '1' }, tests: { type: 'string', multiple: true, default: [] } },
  })
  let [survived, tried] = [0, 0]
  for (const path of positionals) {
    const tests = values.tests.length > 0 ? values.tests : [dirname(path)]
    const text = readFileSync(path, 'utf8')
    if (await notices(tests, signal)) throw new Error(`the tests of ${path} fail without any change`)
    try {
      for (const { start, end, text: instead } of mutantsOf(text, path).filter((_, at) => at % Number(values.every) === 0)) {
        writeFileSync(path, text.slice(0, start) + instead + text.slice(end))
        tried++
        if (await notices(tests, signal)) continue
        survived++
        const line = text.slice(0, start).split('\n').length
        process.stdout.write(`${path}:${line}: ${JSON.stringify(text.slice(start, end).slice(0, 100))} → ${JSON.stringify(instead)}\n`)
      }
    } finally {
      writeFileSync(path, text)
    }
  }
  process.stdout.write(`${tried} changes, ${tried - survived} noticed, ${survived} not\n`)
  return survived === 0 ? 0 : 1
}

if (process.argv[1]?.endsWith('mutate.ts')) {
  const ended = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => ended.abort())
  process.exitCode = await main(ended.signal).catch((error: unknown) => {
    if (!ended.signal.aborted) throw error
    return 130
  })
}
