import { describe, expect, test } from 'vitest'
import { countTests, formatCounts, sumCounts, type TestReport } from './test-report.ts'

const empty: TestReport = { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0, testResults: [] }

describe('counts', () => {
  test('todo tests are skipped tests', () => {
    const report = { ...empty, numPassedTests: 5, numFailedTests: 1, numPendingTests: 2, numTodoTests: 3 }
    expect(countTests(report)).toEqual({ passed: 5, failed: 1, skipped: 5 })
  })

  test('a file that cannot be loaded is a failure of its own', () => {
    const testResults = [
      { status: 'failed', assertionResults: [] },
      { status: 'failed', assertionResults: [{ status: 'skipped' }] },
      { status: 'failed', assertionResults: [{ status: 'failed' }] },
      { status: 'passed', assertionResults: [{ status: 'passed' }] },
    ]
    expect(countTests({ ...empty, numPassedTests: 1, numFailedTests: 1, numPendingTests: 1, testResults })).toEqual({
      passed: 1,
      failed: 3,
      skipped: 1,
    })
  })

  test('sum up and read as one line', () => {
    expect(formatCounts(sumCounts([]))).toBe('0 passed, 0 failed, 0 skipped')
    const counts = [
      { passed: 1, failed: 2, skipped: 3 },
      { passed: 10, failed: 20, skipped: 30 },
    ]
    expect(formatCounts(sumCounts(counts))).toBe('11 passed, 22 failed, 33 skipped')
  })
})
