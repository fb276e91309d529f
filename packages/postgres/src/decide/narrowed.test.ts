import { describe, expect, test } from 'vitest'
import { audience, catalogTable, change, databaseError, FakeChecks, rowsOf, run, shown, streamTable } from '../../test/fake-checks.ts'
import { StalePolicyVersion } from './ask-again.ts'
import { inHalves } from './in-halves.ts'

const table = catalogTable()
const described = streamTable(table)
const one = change(described, 11, { now: ['1', 'body 1'] })

describe('a question that fails', () => {
  const failing = (fails: (keys: readonly (readonly string[])[], subs: readonly string[]) => boolean, code = 'XX000'): FakeChecks => {
    const checks = new FakeChecks()
    checks.answers = {
      checkRows: ({ keys, identities }) =>
        fails(
          keys,
          identities.map(({ identity }) => (JSON.parse(identity.claims) as { sub: string }).sub),
        )
          ? Promise.reject(databaseError(code))
          : Promise.resolve(shown(identities, 'image')),
    }
    return checks
  }
  const rows = Array.from({ length: 8 }, (_, id) => change(described, 1, { now: [String(id), ''] }))

  test('for one row: that one is refused with a fault, all others are decided', async () => {
    const [mine, yours] = [audience(table, 'me'), audience(table, 'you')]
    const pending = [
      { audience: mine, rows },
      { audience: yours, rows: rows.slice(0, 2) },
    ]
    const decision = await run(
      pending,
      failing((keys) => keys.some(([key]) => key === '5')),
    )
    expect(rowsOf(decision, mine)).toEqual(rows.filter((_, id) => id !== 5))
    expect(rowsOf(decision, yours)).toEqual(rows.slice(0, 2))
    expect(decision.faults).toEqual([{ kind: 'row', message: 'XX000: refused', timedOut: false, deliveries: [pending[0]] }])
  })

  test('for one row and identity: other identities get the row', async () => {
    const audiences = ['a', 'b', 'c', 'd'].map((sub) => audience(table, sub))
    const checks = failing((_, subs) => subs.includes('c'))
    const decision = await run(
      audiences.map((each) => ({ audience: each, rows: [one] })),
      checks,
    )
    expect(audiences.map((each) => rowsOf(decision, each).length)).toEqual([1, 1, 0, 1])
    expect(decision.faults.map(({ deliveries }) => deliveries.map(({ audience: { identity } }) => identity?.key))).toEqual([['user c']])
  })

  test('for every part: it is not asked in ever more parts', async () => {
    const many = Array.from({ length: 256 }, (_, id) => change(described, 1, { now: [String(id), ''] }))
    const checks = failing(() => true)
    const decision = await run([{ audience: audience(table, 'me'), rows: many }], checks)
    expect(decision.decided.size).toBe(0)
    expect(checks.calls).toHaveLength(65)
    expect(new Set(decision.faults.map(({ kind }) => kind))).toEqual(new Set(['row']))
  })

  test.each(['42P01', '3F000'])('with %s: the table may have changed, and is faulty as a whole where it has not', async (code) => {
    const mine = audience(table, 'me')
    const checks = failing(() => true, code)
    await expect(run([{ audience: mine, rows }], checks, (oid) => oid === 1)).rejects.toMatchObject({ oid: 1 })
    checks.calls.splice(0)
    const decision = await run([{ audience: mine, rows }], checks)
    expect([decision.decided.size, decision.faults.length, checks.calls.length]).toEqual([0, 1, 1])
  })

  test('since it takes too long: the isolated path finds the identity', async () => {
    const pending = [{ audience: audience(table, 'me'), rows }]
    const checks = failing(() => true, '57014')
    expect((await run(pending, checks)).faults).toEqual([
      { kind: 'policy', message: '57014: refused', timedOut: true, deliveries: pending },
    ])
    expect(checks.calls).toHaveLength(1)
  })

  test('since the database cannot be reached: nothing is decided', async () => {
    await expect(
      run(
        [{ audience: audience(table, 'me'), rows }],
        failing(() => true, '08006'),
      ),
    ).rejects.toMatchObject({ code: '08006' })
  })
})

describe('all in halves', () => {
  test('asks once where nothing fails, and not at all about nothing', async () => {
    const asked: (readonly number[])[] = []
    const ask = (part: readonly number[]): Promise<void> => Promise.resolve(void asked.push(part))
    await inHalves([1, 2, 3], ask, () => expect.unreachable())
    await inHalves([], ask, () => expect.unreachable())
    expect(asked).toEqual([[1, 2, 3]])
  })

  test('leaves out only those that fail alone, each with its error', async () => {
    const [answered, failed]: [number[], [number, unknown][]] = [[], []]
    const ask = (part: readonly number[]): Promise<void> =>
      part.some((one) => one % 3 === 0) ? Promise.reject(databaseError(String(part.length))) : Promise.resolve(void answered.push(...part))
    await inHalves([1, 2, 3, 4, 5, 6, 7], ask, (one, error) => failed.push([one, (error as { code: unknown }).code]))
    expect([answered, failed]).toEqual([
      [1, 2, 4, 5, 7],
      [
        [3, '1'],
        [6, '1'],
      ],
    ])
  })

  test.each([databaseError('08006'), new StalePolicyVersion(1)])('rejects with what concerns all: %s', async (fault) => {
    let calls = 0
    const ask = async (): Promise<void> => {
      calls++
      throw fault
    }
    await expect(inHalves([1, 2], ask, () => expect.unreachable())).rejects.toBe(fault)
    expect(calls).toBe(1)
  })
})
