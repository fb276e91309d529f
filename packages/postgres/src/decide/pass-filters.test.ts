import { describe, expect, test } from 'vitest'
import { audience, catalogTable, change, databaseError, FakeChecks, filter, got, rowsOf, run, streamTable } from '../../test/fake-checks.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import type { Audience } from '../subscribe/audience.ts'

const table = catalogTable()
const described = streamTable(table)
const [one, two] = [1, 2].map((id) => change(described, 10 + id, { now: [String(id), `body ${id}`] })) as [RowChange, RowChange]

describe('filters', () => {
  const like = (value: string, negate = false): Audience =>
    audience(table, null, { filters: [filter(table, 'body', 'like', value, negate)] })

  test('of one column, operator and kind are one question, with each value and text once', async () => {
    const checks = new FakeChecks()
    const [first, same, second, negated] = [like('body 1%'), like('body 1%'), like('body%'), like('x%', true)]
    const rows = [one, two, { ...two }]
    const decision = await run(
      [first, same, second, negated].map((each) => ({ audience: each, rows })),
      checks,
    )
    expect([first, same, second, negated].map((each) => rowsOf(decision, each).length)).toEqual([1, 1, 3, 0])
    // A row that does not match is no fault.
    expect(decision.faults).toEqual([])
    expect(checks.asked('testFilters').map(({ op, negate, operands, texts }) => ({ op, negate, operands, texts }))).toEqual([
      { op: 'like', negate: false, operands: [['body 1%'], ['body%']], texts: ['body 1', 'body 2'] },
      { op: 'like', negate: true, operands: [['x%']], texts: ['body 1', 'body 2'] },
    ])
    expect(
      [...decision.filtered].map(([{ delivery, row }, { values }]) => [delivery.audience.filters[0]!.filter.value, row, values]),
    ).toContainEqual(['body 1%', two, ['body 1%']])
  })

  test('that can be evaluated here need no question, and no policy is asked about what another filter keeps back', async () => {
    const checks = new FakeChecks()
    const both = audience(table, 'me', { filters: [filter(table, 'id', 'eq', '1'), filter(table, 'body', 'like', 'body%')] })
    const here = audience(table, 'you', { filters: [filter(table, 'id', 'eq', '1')] })
    const decision = await run(
      [
        { audience: both, rows: [one, two] },
        { audience: here, rows: [one] },
      ],
      checks,
    )
    expect(rowsOf(decision, both)).toEqual([one])
    expect(checks.asked('testFilters').map(({ op, texts }) => [op, texts])).toEqual([['like', ['body 1', 'body 2']]])
    expect(checks.asked('checkRows').map(({ keys }) => keys)).toEqual([[['1']]])
  })

  test('of an audience that gets an error are not asked about', async () => {
    const checks = new FakeChecks()
    const denied = audience(table, null, { fault: 'unauthorized', filters: [filter(table, 'body', 'like', 'x%')] })
    expect(rowsOf(await run([{ audience: denied, rows: [one] }], checks), denied)).toEqual([one])
    expect(checks.calls).toEqual([])
  })

  test('that fail are a fault of their audience alone', async () => {
    const checks = new FakeChecks()
    checks.answers = {
      testFilters: ({ texts }) =>
        Promise.resolve([
          { ok: false, message: 'bad', timedOut: true },
          { ok: true, matches: new Set(texts.keys()) },
        ]),
    }
    const [bad, good] = [like('a%'), like('b%')]
    const pending = [
      { audience: bad, rows: [one, two] },
      { audience: good, rows: [one] },
    ]
    const decision = await run(pending, checks)
    expect([rowsOf(decision, bad), rowsOf(decision, good)]).toEqual([[], [one]])
    expect(decision.faults).toEqual([{ kind: 'filter', message: 'bad', timedOut: true, deliveries: [pending[0]] }])
    checks.answers = { testFilters: () => Promise.resolve([{ ok: false, message: 'bad' }]) }
    expect((await run([pending[0]!], checks)).faults[0]).toMatchObject({ kind: 'filter', timedOut: false })
  })

  test.each([
    ['XX000', { kind: 'row', timedOut: false }],
    ['57014', { kind: 'filter', timedOut: true }],
  ])('whose question fails with %s keep the row back', async (code, fault) => {
    const checks = new FakeChecks()
    checks.answers = { testFilters: () => Promise.reject(databaseError(code)) }
    const mine = like('a%')
    const decision = await run([{ audience: mine, rows: [one] }], checks)
    expect([rowsOf(decision, mine), decision.faults]).toEqual([[], [expect.objectContaining(fault)]])
  })

  test('that cannot be asked since the database cannot be reached: nothing is decided', async () => {
    const checks = new FakeChecks()
    checks.answers = { testFilters: () => Promise.reject(databaseError('ECONNREFUSED')) }
    await expect(run([{ audience: like('a%'), rows: [one] }], checks)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })

  test('that do not match the row as it is now leave its key', async () => {
    const checks = new FakeChecks()
    checks.answers = {
      checkRows: ({ keys }) =>
        Promise.resolve({
          current: true,
          identities: [
            { ok: true, visible: new Map(keys.map(([key], at) => [at, { current: [key, key === '1' ? 'other' : 'body now'] }])) },
          ],
        }),
    }
    const mine = audience(table, 'me', { filters: [filter(table, 'body', 'like', 'body%')] })
    const [first, second] = got(await run([{ audience: mine, rows: [one, two] }], checks), mine)
    expect([first, (second![0] as RowChange).newTuple!.text(1)]).toEqual([['key', 'key'], 'body now'])
  })
})
