import { expect, test } from 'vitest'
import { databaseError, FakeChecks } from '../../test/fake-checks.ts'
import type { CatalogPort } from '../catalog/catalog-port.ts'
import { isUnreachable } from '../catalog/database-fault.ts'
import { bounded } from './bounded.ts'

function start(): {
  readonly database: ReturnType<typeof bounded>
  readonly checks: FakeChecks
  readonly timers: { readonly afterMs: number; readonly expire: () => void; isCancelled: boolean }[]
} {
  const timers: { afterMs: number; expire: () => void; isCancelled: boolean }[] = []
  const checks = new FakeChecks()
  const catalog = { insertLsn: () => new Promise(() => {}) } as unknown as CatalogPort
  const runtime = {
    ...{ uptime: () => 0, random: () => 0, endOfTurn: (end: () => void) => void Promise.resolve().then(end) },
    setTimer: (expire: () => void, afterMs: number) => {
      const timer = { afterMs, expire, isCancelled: false }
      timers.push(timer)
      return { cancel: () => (timer.isCancelled = true) }
    },
  }
  return { database: bounded({ catalog, checks, isolated: checks }, runtime), checks, timers }
}

const question = { pairs: [], xids: [], waits: false }

test('an answer, or an error, is passed on as it is, and nothing waits for it any more', async () => {
  const { database, checks, timers } = start()
  expect(await database.checks.checkVersions(question)).toEqual([])
  checks.answers = { checkVersions: () => Promise.reject(databaseError('42P01')) }
  await expect(database.isolated.checkVersions(question)).rejects.toMatchObject({ code: '42P01' })
  expect(checks.asked('checkVersions')).toEqual([question, question])
  await Promise.resolve()
  expect(timers.map(({ afterMs, isCancelled }) => [afterMs, isCancelled])).toEqual([
    [20_000, true],
    [20_000, true],
  ])
})

test('a catalog that does not answer for 35 s is a database that cannot be reached', async () => {
  const { database, timers } = start()
  const answer = database.catalog.insertLsn()
  expect(timers.map(({ afterMs }) => afterMs)).toEqual([35_000])
  timers[0]!.expire()
  const error: unknown = await answer.catch((reason: unknown) => reason)
  expect([isUnreachable(error), String(error)]).toEqual([true, 'Error: no answer to insertLsn for 35000 ms'])
})

test('calls of one turn share a timer, which fails those without an answer', async () => {
  const { database, checks, timers } = start()
  const answers: ((versions: boolean[]) => void)[] = []
  checks.answers = { checkVersions: () => new Promise((resolve) => answers.push(resolve)) }
  const [first, second] = [database.checks.checkVersions(question), database.checks.checkVersions(question)]
  await expect.poll(() => answers).toHaveLength(2)
  answers[0]!([true])
  expect(await first).toEqual([true])
  expect(timers.map(({ isCancelled }) => isCancelled)).toEqual([false])
  timers[0]!.expire()
  await expect(second).rejects.toThrow('no answer to checkVersions')
  void database.checks.checkVersions(question)
  expect(timers).toHaveLength(2)
})
