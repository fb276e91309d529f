/**
 * After the build: checks the types of the tests, makes sure that what they need is there, runs them, and ends with `N passed, N failed, N skipped`.
 * Usage: tsx scripts/test.ts [--long] [what Vitest takes, such as the path of a test].
 * With CI=true a missing program is a failure, not a skip.
 */
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { installedPostgres } from '../packages/testkit/src/programs/postgres-versions.ts'
import { root, runPackage } from './child.ts'
import { findChromium, findNatsServer, findNewestNats, findPostgres, findProxies, findPython, findRuntimes } from './programs.ts'
import { countTests, formatCounts, formatFailures, readReport, sumCounts, type Counts } from './test-report.ts'

const long = process.argv.includes('--long')
const passedOn = process.argv.slice(2).filter((argument) => argument !== '--long')

/** What is repeated on every older Postgres: whatever depends on what a version writes into its stream, or says of itself. */
const onOlderPostgres = [
  ...['change-source', 'authorizer', 'stored-message', 'publications', 'slot', 'anchor'],
  ...['feed-deletes', 'feed-resume', 'feed-rls', 'feed-computed', 'feed-nodes'],
  ...['doctor', 'database-slot'],
].map((name) => `/${name}.pg.test.ts`)

process.exitCode = main()

function main(): number {
  if (runPackage('typescript', ['-b']).code !== 0) {
    console.error('The types of the tests do not fit; no test ran.')
    return 1
  }
  const [chromium, python, runtimes, nats] = [findChromium(), findPython(), findRuntimes(), findNatsServer()]
  const programs = [chromium, python, runtimes, nats, ...(long ? [findPostgres(), findProxies()] : [])]
  const missing = programs.flatMap((program) => ('missing' in program ? [program.missing] : []))
  for (const line of missing) console.log(line)

  const env = {
    TIDEWIRE_CHROMIUM: 'path' in chromium ? chromium.path : '',
    TIDEWIRE_PYTHON: 'path' in python ? python.path : '',
    TIDEWIRE_NATS_SERVER: 'path' in nats ? nats.path : '',
  }
  const runs = long
    ? [runLong(env), ...runOnOlderPostgres(env), ...runOnNewestNats(env)]
    : [runTests('report.json', ['node', 'browser'], passedOn, env)]
  const incomplete = process.env['CI'] === 'true' && missing.length > 0
  if (incomplete) for (const line of ['With CI=true every test must run:', ...missing]) console.error(line)
  for (const failure of runs.flatMap(({ failures }) => failures)) console.log(failure)
  console.log(formatCounts(sumCounts(runs.map(({ counts }) => counts))))
  return runs.every(({ isGreen }) => isGreen) && !incomplete ? 0 : 1
}

function runLong(env: NodeJS.ProcessEnv): Run {
  return runTests('report-long.json', ['long'], passedOn, env)
}

function runOnOlderPostgres(env: NodeJS.ProcessEnv): Run[] {
  const projects = installedPostgres().map(({ name }) => name)
  return projects.length === 0 ? [] : [runTests('report-postgres.json', projects, passedOn.length === 0 ? onOlderPostgres : passedOn, env)]
}

/** Where Go is installed. Its absence is no failure: the floor is tested everywhere. */
function runOnNewestNats(env: NodeJS.ProcessEnv): Run[] {
  const newest = findNewestNats()
  if ('missing' in newest) {
    console.log(newest.missing)
    return []
  }
  const own = [
    'nats-relay.socket',
    'nats-routes.socket',
    'nats-credentials.socket',
    'nats-outages.pg',
    'cluster.pg',
    'cluster-kill.pg',
  ].map((name) => `/${name}.test.ts`)
  const filters = passedOn.length === 0 ? own : passedOn
  return [runTests('report-nats.json', ['node'], filters, { ...env, TIDEWIRE_NATS_SERVER: newest.path })]
}

interface Run {
  readonly isGreen: boolean
  readonly counts: Counts
  readonly failures: readonly string[]
}

function runTests(name: string, projects: readonly string[], filters: readonly string[], env: NodeJS.ProcessEnv): Run {
  const report = join(root, 'test-results', name)
  mkdirSync(join(root, 'test-results'), { recursive: true })
  rmSync(report, { force: true })
  const args = [
    ...projects.map((project) => `--project=${project}`),
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ]
  const { code } = runPackage('vitest', ['run', ...args, ...(long ? ['--passWithNoTests'] : []), ...filters], { env })
  if (!existsSync(report)) {
    console.error('The test runner left no report.')
    return { isGreen: false, counts: { passed: 0, failed: 0, skipped: 0 }, failures: [] }
  }
  const results = readReport(report)
  const counts = countTests(results)
  return { isGreen: code === 0 && counts.failed === 0, counts, failures: formatFailures(results) }
}
