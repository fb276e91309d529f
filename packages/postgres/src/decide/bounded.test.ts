import { expect, test } from 'vitest'
import { databaseError, FakeChecks } from '../../test/fake-checks.ts'
import type { CatalogPort } from '../catalog/catalog-port.ts'
import { isUnreachable } from '../catalog/database-fault.ts'
import { bounded } from './bounded.ts'

/** The database with a clock that the test moves, and the one timer that may be set. */
function start(): {
  readonly database: ReturnType<typeof bounded>
  readonly checks: FakeChecks
  readonly timers: number[]
  readonly passSeconds: (seconds: number) => void
} {
  let now = 0
  let expire: (() => void) | null = null
  const timers: number[] = []
  const checks = new FakeChecks()
  const catalog = { insertLsn: () => new Promise(() => {}) } as unknown as CatalogPort
  const runtime = {
    ...{ uptime: () => now, random: () => 0, endOfTurn: () => {} },
    setTimer: (callback: () => void, afterMs: number) => {
      expect(expire).toBe(null)
      expire = callback
      timers.push(afterMs)
      return { cancel: () => {} }
    },
  }
  const passSeconds = (seconds: number): void => {
    for (let second = 0; second < seconds; second++) {
      now += 1_000
      const callback = expire
      expire = null
      callback?.()
    }
  }
  return { database: bounded({ catalog, checks, isolated: checks }, runtime), checks, timers, passSeconds }
}

const question = { pairs: [], xids: [], waits: false }

test('an answer, or an error, is passed on as it is, and nothing waits for it any more', async () => {
  const { database, checks, timers, passSeconds } = start()
  expect(await database.checks.checkVersions(question)).toEqual([])
  checks.answers = { checkVersions: () => Promise.reject(databaseError('42P01')) }
  await expect(database.isolated.checkVersions(question)).rejects.toMatchObject({ code: '42P01' })
  expect(checks.asked('checkVersions')).toEqual([question, question])
  passSeconds(30)
  expect(timers).toHaveLength(1)
})

test('a catalog that does not answer for 35 s is a database that cannot be reached', async () => {
  const { database, passSeconds } = start()
  let error: unknown = null
  const answer = database.catalog.insertLsn().catch((reason: unknown) => (error = reason))
  passSeconds(34)
  await Promise.resolve()
  expect(error).toBe(null)
  passSeconds(1)
  await answer
  expect([isUnreachable(error), String(error)]).toEqual([true, 'Error: no answer to insertLsn for 35000 ms'])
})

test('each call has its own time, all with one timer', async () => {
  const { database, checks, timers, passSeconds } = start()
  const answers: ((versions: boolean[]) => void)[] = []
  checks.answers = { checkVersions: () => new Promise((resolve) => answers.push(resolve)) }
  const first = database.checks.checkVersions(question)
  const second = database.checks.checkVersions(question)
  await expect.poll(() => answers).toHaveLength(2)
  passSeconds(10)
  const third = database.isolated.checkVersions(question)
  await expect.poll(() => answers).toHaveLength(3)
  answers[0]!([true])
  expect(await first).toEqual([true])
  passSeconds(10)
  await expect(second).rejects.toThrow('no answer to checkVersions for 20000 ms')
  passSeconds(9)
  answers[2]!([false])
  expect(await third).toEqual([false])
  passSeconds(10)
  expect(timers.length).toBe(30)
})
