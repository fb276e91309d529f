import { describe, expect, test } from 'vitest'
import { audience, catalogTable, change, FakeChecks, got, rowsOf, run, shown, streamTable } from '../../test/fake-checks.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import type { Audience } from '../subscribe/audience.ts'
import { StalePolicyVersion } from './ask-again.ts'

const table = catalogTable()
const described = streamTable(table)
const [one, two, three] = [1, 2, 3].map((id) => change(described, 10 + id, { now: [String(id), `body ${id}`] })) as [
  RowChange,
  RowChange,
  RowChange,
]

describe('new rows under policies', () => {
  test('are asked about by key and content, once for all identities of a role; what is not shown is not granted', async () => {
    const checks = new FakeChecks()
    const [mine, yours, others] = [audience(table, 'me'), audience(table, 'you'), audience(table, 'me', { role: 'other' })]
    const all = [one, two]
    checks.answers = {
      checkRows: ({ role, identities }) => {
        const answer = shown(identities, 'image')
        return Promise.resolve(role === 'other' ? { ...answer, identities: [{ ok: true, visible: new Map([[1, 'key']]) }] } : answer)
      },
    }
    const pending = [
      { audience: mine, rows: all },
      { audience: yours, rows: [two] },
      { audience: others, rows: all },
    ]
    const decision = await run(pending, checks)
    const [asked, ...rest] = checks.asked('checkRows')
    expect(rest).toHaveLength(1)
    expect(asked).toEqual({
      ...{
        table,
        role: 'user',
        keys: [['1'], ['2']],
        columns: [1, 2],
        images: [
          ['1', 'body 1'],
          ['2', 'body 2'],
        ],
      },
      ...{
        identities: [
          { identity: mine.identity, rows: [0, 1] },
          { identity: yours.identity, rows: [1] },
        ],
        xids: [11, 12],
        waits: true,
      },
    })
    expect(got(decision, mine)).toEqual([
      ['image', 'key'],
      ['image', 'key'],
    ])
    expect([rowsOf(decision, yours), rowsOf(decision, others)]).toEqual([[two], [two]])
    expect(got(decision, others)).toEqual([['key', 'key']])
    expect([decision.faults, decision.slow, checks.asked('checkVersions')]).toEqual([[], [], []])
  })

  test('audiences of one identity are one question, and each gets its own rows', async () => {
    const checks = new FakeChecks()
    const [first, second] = [audience(table, 'me'), audience(table, 'me')]
    const identity = first.identity
    const same = { ...second, identity }
    const decision = await run(
      [
        { audience: first, rows: [one, two] },
        { audience: same, rows: [two, three] },
      ],
      checks,
    )
    expect(checks.asked('checkRows').map(({ identities }) => identities)).toEqual([[{ identity, rows: [0, 1, 2] }]])
    expect([first, same].map((each) => rowsOf(decision, each))).toEqual([
      [one, two],
      [two, three],
    ])
  })

  test('written by two versions of a table are two questions', async () => {
    const checks = new FakeChecks()
    const other = change(streamTable(table), 5, { now: ['4', ''] })
    await run([{ audience: audience(table, 'me'), rows: [one, other] }], checks)
    expect(checks.asked('checkRows').map(({ keys }) => keys)).toEqual([[['1']], [['4']]])
  })

  test('whose key the log does not hold are denied', async () => {
    const mine = audience(table, 'me')
    const keyless = { ...one, newTuple: null, old: null }
    expect(rowsOf(await run([{ audience: mine, rows: [keyless, two] }]), mine)).toEqual([two])
  })

  test('that are another version by now are one object for all who were shown the same', async () => {
    const checks = new FakeChecks()
    const current = (body: string | null | undefined): ReadonlyMap<number, { readonly current: readonly (string | null | undefined)[] }> =>
      new Map([[0, { current: ['1', body] }]])
    checks.answers = {
      checkRows: () =>
        Promise.resolve({
          current: true,
          identities: ['new', 'new', null, undefined].map((body) => ({ ok: true, visible: current(body) })),
        }),
    }
    const audiences = ['a', 'b', 'c', 'd'].map((sub) => audience(table, sub))
    const decision = await run(
      audiences.map((each) => ({ audience: each, rows: [one] })),
      checks,
    )
    const [a, b, c, d] = audiences.map((each) => got(decision, each)[0]![0] as RowChange)
    expect(a).toBe(b)
    expect([a!.newTuple!.text(1), c!.newTuple!.text(1), d!.newTuple!.text(1)]).toEqual(['new', null, undefined])
    expect(new Set([a, c, d]).size).toBe(3)
    expect(got(decision, audiences[0]!)[0]![1]).toBe('key')
  })

  test('an identity without an answer is granted nothing', async () => {
    const checks = new FakeChecks()
    checks.answers = { checkRows: () => Promise.resolve({ current: true, identities: [] }) }
    const decision = await run([{ audience: audience(table, 'me'), rows: [one] }], checks)
    expect([decision.decided.size, decision.faults]).toEqual([0, []])
  })

  test('another policy version than was loaded: nothing is decided', async () => {
    const checks = new FakeChecks()
    checks.answers = { checkRows: ({ identities }) => Promise.resolve({ ...shown(identities, 'image'), current: false }) }
    await expect(run([{ audience: audience(table, 'me'), rows: [one] }], checks)).rejects.toBeInstanceOf(StalePolicyVersion)
  })

  test('policies that fail, or are slow, for one identity', async () => {
    const checks = new FakeChecks()
    const [mine, yours, theirs] = ['me', 'you', 'they'].map((sub) => audience(table, sub)) as [Audience, Audience, Audience]
    checks.answers = {
      checkRows: () =>
        Promise.resolve({
          ...{ current: true, slow: true },
          identities: [
            { ok: false, message: 'slow', timedOut: true },
            { ok: true, visible: new Map([[0, 'image']]), fault: 'division by zero' },
            { ok: true, visible: new Map([[0, 'image']]) },
          ],
        }),
    }
    const pending = [mine, yours, theirs].map((each) => ({ audience: each, rows: [one] }))
    const decision = await run(pending, checks)
    expect([mine, yours, theirs].map((each) => rowsOf(decision, each).length)).toEqual([0, 1, 1])
    expect(decision.faults).toEqual([
      { kind: 'policy', message: 'slow', timedOut: true, deliveries: [pending[0]] },
      { kind: 'policy', message: 'division by zero', timedOut: false, deliveries: [pending[1]] },
    ])
    expect(decision.slow).toEqual(pending)
  })
})
