/** Sums the reports of test runs. Usage: tsx scripts/test-report.ts REPORT.json … prints each failed test, then `N passed, N failed, N skipped`. */
import { existsSync, readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/** The part of Vitest's JSON report that is read here. */
export interface TestReport {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: readonly TestFile[]
}

interface TestFile {
  readonly name: string
  readonly status: string
  /** Why the file could not be loaded, or which hook failed. */
  readonly message?: string
  readonly assertionResults: readonly { readonly status: string; readonly fullName: string; readonly failureMessages?: readonly string[] }[]
}

export function countTests(report: TestReport): Counts {
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + report.testResults.filter(isBroken).length,
    skipped: report.numPendingTests + report.numTodoTests,
  }
}

/** A file that cannot even be loaded, or whose hooks fail, has no failed test to its name; it counts as one. */
function isBroken({ status, assertionResults }: TestFile): boolean {
  return status === 'failed' && !assertionResults.some((test) => test.status === 'failed')
}

/** One text for each failed test and broken file: its file, its name and the first lines of its error. */
export function formatFailures(report: TestReport): string[] {
  return report.testResults.flatMap((file) => [
    ...(isBroken(file) ? [`failed: ${file.name}\n${firstLines(file.message)}`] : []),
    ...file.assertionResults
      .filter(({ status }) => status === 'failed')
      .map(({ fullName, failureMessages }) => `failed: ${file.name}: ${fullName}\n${firstLines(failureMessages?.join('\n'))}`),
  ])
}

function firstLines(text = ''): string {
  return text
    .split('\n')
    .slice(0, 20)
    .map((line) => `  ${line.slice(0, 400)}`)
    .join('\n')
}

export function sumCounts(counts: readonly Counts[]): Counts {
  const sum = (key: keyof Counts): number => counts.reduce((total, each) => total + each[key], 0)
  return { passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped') }
}

export function formatCounts({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`
}

export function readReport(path: string): TestReport {
  return JSON.parse(readFileSync(path, 'utf8')) as TestReport
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const reports = process.argv
    .slice(2)
    .filter((path) => existsSync(path))
    .map(readReport)
  for (const failure of reports.flatMap(formatFailures)) console.log(failure)
  console.log(formatCounts(sumCounts(reports.map(countTests))))
}
