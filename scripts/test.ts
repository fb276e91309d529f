/**
 * After the build: checks the types of the tests, makes sure that what they need is there, runs them, and ends with `N passed, N failed, N skipped`.
 * Usage: tsx scripts/test.ts [--long] [what Vitest takes, such as the path of a test].
 * With CI=true a missing program is a failure, not a skip.
 */
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { root, runPackage } from './child.ts'
import { findChromium, findProxies, findPython, findRuntimes } from './programs.ts'
import { countTests, formatCounts, readReport } from './test-report.ts'

const long = process.argv.includes('--long')
const passedOn = process.argv.slice(2).filter((argument) => argument !== '--long')
const report = join(root, 'test-results', long ? 'report-long.json' : 'report.json')

process.exitCode = main()

function main(): number {
  if (runPackage('typescript', ['-b']).code !== 0) {
    console.error('The types of the tests do not fit; no test ran.')
    return 1
  }
  const [chromium, python, runtimes] = [findChromium(), findPython(), findRuntimes()]
  const missing = [chromium, python, runtimes, ...(long ? [findProxies()] : [])].flatMap((program) =>
    'missing' in program ? [program.missing] : [],
  )
  for (const line of missing) console.log(line)

  const code = runTests({
    TIDEWIRE_CHROMIUM: 'path' in chromium ? chromium.path : '',
    TIDEWIRE_PYTHON: 'path' in python ? python.path : '',
  })
  if (!existsSync(report)) {
    console.error('The test runner left no report.')
    return 1
  }
  const incomplete = process.env['CI'] === 'true' && missing.length > 0
  if (incomplete) for (const line of ['With CI=true every test must run:', ...missing]) console.error(line)
  const counts = countTests(readReport(report))
  console.log(formatCounts(counts))
  return code === 0 && counts.failed === 0 && !incomplete ? 0 : 1
}

function runTests(env: NodeJS.ProcessEnv): number {
  mkdirSync(join(root, 'test-results'), { recursive: true })
  rmSync(report, { force: true })
  const projects = long ? ['--project', 'long', '--passWithNoTests'] : ['--project', 'node', '--project', 'browser']
  return runPackage('vitest', ['run', ...projects, '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...passedOn], {
    env,
  }).code
}
