import { describe, expect, test } from 'vitest'
import { countTests, formatCounts, formatFailures, sumCounts, type TestReport } from './test-report.ts'

const empty: TestReport = { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0, testResults: [] }

describe('counts', () => {
  test('todo tests are skipped tests', () => {
    const report = { ...empty, numPassedTests: 5, numFailedTests: 1, numPendingTests: 2, numTodoTests: 3 }
    expect(countTests(report)).toEqual({ passed: 5, failed: 1, skipped: 5 })
  })

  test('a file that cannot be loaded is a failure of its own', () => {
    const testResults = [
      { name: 'a.test.ts', status: 'failed', assertionResults: [] },
      { name: 'b.test.ts', status: 'failed', assertionResults: [{ status: 'skipped', fullName: 'is late' }] },
      { name: 'c.test.ts', status: 'failed', assertionResults: [{ status: 'failed', fullName: 'is wrong' }] },
      { name: 'd.test.ts', status: 'passed', assertionResults: [{ status: 'passed', fullName: 'is right' }] },
    ]
    expect(countTests({ ...empty, numPassedTests: 1, numFailedTests: 1, numPendingTests: 1, testResults })).toEqual({
      passed: 1,
      failed: 3,
      skipped: 1,
    })
  })

  test('a failure has its file, its name and the first lines of its error', () => {
    const long = Array.from({ length: 30 }, (_, line) => `line ${line}`).join('\n')
    const testResults = [
      { name: 'a.test.ts', status: 'failed', message: 'cannot be loaded', assertionResults: [] },
      {
        name: 'b.test.ts',
        status: 'failed',
        assertionResults: [
          { status: 'passed', fullName: 'group is right' },
          { status: 'failed', fullName: 'group is wrong', failureMessages: [long] },
        ],
      },
    ]
    const [loading, wrong, ...rest] = formatFailures({ ...empty, testResults })
    expect(loading).toBe('failed: a.test.ts\n  cannot be loaded')
    expect(wrong).toMatch(/^failed: b\.test\.ts: group is wrong\n {2}line 0\n/)
    expect(wrong?.split('\n')).toHaveLength(21)
    expect(rest).toEqual([])
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
