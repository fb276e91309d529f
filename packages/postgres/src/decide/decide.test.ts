import { describe, expect, test } from 'vitest'
import { audience, catalogTable, change, databaseError, FakeChecks, got, rowsOf, run, shown, streamTable } from '../../test/fake-checks.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { StalePolicyVersion } from './ask-again.ts'
import type { Audience } from '../subscribe/audience.ts'

const table = catalogTable()
const described = streamTable(table)
const full = catalogTable({ oid: 2, replicaIdentityFull: true })
const fullDescribed = streamTable(full)
const open = catalogTable({ oid: 3, rowSecurity: false })
const openDescribed = streamTable(open)
const [one, two, three] = [1, 2, 3].map((id) => change(described, 10 + id, { now: [String(id), `body ${id}`] })) as [
  RowChange,
  RowChange,
  RowChange,
]

describe('without policies', () => {
  test('rows are granted whole, after one question about the privileges of each table and role', async () => {
    const checks = new FakeChecks()
    const [mine, others] = [audience(open, null), audience(open, null, { role: 'other' })]
    const rows = [1, 1, 2].map((xid) => change(openDescribed, xid, { now: [String(xid), ''] }))
    const decision = await run(
      [
        { audience: mine, rows },
        { audience: others, rows },
        { audience: audience(open, null), rows },
      ],
      checks,
    )
    expect(got(decision, mine)).toEqual([
      ['image', 'image'],
      ['image', 'image'],
      ['image', 'image'],
    ])
    expect(rowsOf(decision, others)).toEqual(rows)
    expect(decision.faults).toEqual([])
    expect(checks.asked('checkVersions')).toEqual([
      {
        pairs: [
          { table: open, role: 'user' },
          { table: open, role: 'other' },
        ],
        xids: [1, 2],
        waits: true,
      },
    ])
  })

  test('a deleted row comes whole, but by its key where the stream says that the table has row security by now', async () => {
    const mine = audience(open, null)
    const deletes = [openDescribed, { ...openDescribed, rowSecurity: true }].map((each) => change(each, 1, { old: ['1', ''] }))
    expect(got(await run([{ audience: mine, rows: deletes }]), mine)).toEqual([
      ['image', 'image'],
      ['image', 'key'],
    ])
    const authorized = audience(open, null, { authorizesDeletes: true })
    expect(got(await run([{ audience: authorized, rows: [deletes[1]!] }]), authorized)).toEqual([['image', 'image']])
  })

  test('another version than was loaded: nothing is decided', async () => {
    const checks = new FakeChecks()
    checks.answers = { checkVersions: ({ pairs }) => Promise.resolve(pairs.map((pair) => pair.table.oid !== 3)) }
    const rows = [change(openDescribed, 1, { now: ['1', ''] })]
    await expect(run([{ audience: audience(open, null), rows }], checks)).rejects.toMatchObject({ oid: 3 })
    await expect(run([{ audience: audience(open, null), rows }], checks)).rejects.toBeInstanceOf(StalePolicyVersion)
  })

  test('a question about privileges that fails for one role is no other role’s fault', async () => {
    const checks = new FakeChecks()
    checks.answers = {
      checkVersions: ({ pairs }) =>
        pairs.some(({ role }) => role === 'other') ? Promise.reject(databaseError('XX000')) : Promise.resolve(pairs.map(() => true)),
    }
    const [mine, others] = [audience(open, null), audience(open, null, { role: 'other' })]
    const rows = [change(openDescribed, 1, { now: ['1', ''] })]
    const pending = [
      { audience: mine, rows },
      { audience: others, rows },
    ]
    const decision = await run(pending, checks)
    expect([rowsOf(decision, mine), rowsOf(decision, others)]).toEqual([rows, []])
    expect(decision.faults).toEqual([{ kind: 'row', message: 'XX000: refused', timedOut: false, deliveries: [pending[1]] }])
    await expect(run(pending, checks, (oid) => oid === 3)).rejects.toMatchObject({ oid: 3 })
    checks.answers = { checkVersions: () => Promise.reject(databaseError('57014')) }
    expect((await run(pending, checks)).faults.map(({ timedOut }) => timedOut)).toEqual([true, true])
  })

  test('who is not authorized, or wants rows of a table without a key, is granted the error without a question about rows', async () => {
    const checks = new FakeChecks()
    const denied = audience(table, 'me', { fault: 'unauthorized' })
    const keyless = audience(table, 'me', { fault: 'no-primary-key' })
    const gone = change(described, 9, { old: ['1', ''] })
    const decision = await run([{ audience: denied, rows: [one, gone] }], checks)
    expect(rowsOf(decision, denied)).toEqual([one, gone])
    expect(checks.calls).toEqual([])
    expect(rowsOf(await run([{ audience: keyless, rows: [one, gone] }], checks), keyless)).toEqual([one, gone])
    expect(checks.calls.map(({ name }) => name)).toEqual(['checkVersions'])
  })
})

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
    const decision = await run(
      [
        { audience: first, rows: [one, two] },
        { audience: { ...second, identity }, rows: [two, three] },
      ].map((each) => each),
      checks,
    )
    expect(checks.asked('checkRows').map(({ identities }) => identities)).toEqual([[{ identity, rows: [0, 1, 2] }]])
    expect(decision.decided.map(({ granted }) => [...granted.keys()])).toEqual([
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

describe('old rows', () => {
  const gone = change(fullDescribed, 21, { old: ['1', 'old "body"'] })
  const authorized = audience(full, 'me', { authorizesDeletes: true })

  test('under policies a delete comes by its key, without a question about the row', async () => {
    const checks = new FakeChecks()
    const mine = audience(table, 'me')
    const decision = await run([{ audience: mine, rows: [change(described, 5, { old: ['1', ''] }), one] }], checks)
    expect(got(decision, mine)).toEqual([
      ['image', 'key'],
      ['image', 'key'],
    ])
    expect(checks.asked('checkVersions')).toEqual([{ pairs: [{ table, role: 'user' }], xids: [5], waits: true }])
    expect(checks.asked('checkOldRows')).toEqual([])
  })

  test.each([
    ['image', [['image', 'image']]],
    ['key', [['image', 'key']]],
    [null, []],
  ] as const)('an authorized delete whose old row is granted by %s', async (grant, wanted) => {
    const checks = new FakeChecks()
    checks.answers = {
      checkOldRows: ({ identities }) =>
        Promise.resolve(grant === null ? { current: true, identities: [{ ok: true, visible: new Map() }] } : shown(identities, grant)),
    }
    expect(got(await run([{ audience: authorized, rows: [gone] }], checks), authorized)).toEqual(wanted)
    expect(checks.asked('checkOldRows')).toEqual([
      {
        ...{ table: full, role: 'user', xids: [21], waits: true, rows: ['("1","old \\"body\\"")'] },
        identities: [{ identity: authorized.identity, rows: [0] }],
      },
    ])
  })

  test('an authorized delete that cannot be judged does not come', async () => {
    const opaque = catalogTable({ oid: 2, replicaIdentityFull: true, scope: 'opaque' })
    for (const [each, rows] of [
      [audience(opaque, 'me', { authorizesDeletes: true }), [gone]],
      [audience(table, 'me', { authorizesDeletes: true }), [change(described, 1, { old: ['1', ''] })]],
      // The table has become REPLICA IDENTITY FULL since.
      [authorized, [change(described, 1, { old: ['1', ''] })]],
    ] as const) {
      const checks = new FakeChecks()
      expect((await run([{ audience: each, rows }], checks)).decided).toEqual([])
      expect(checks.calls).toEqual([])
    }
  })

  test('another policy version than was loaded: nothing is decided', async () => {
    const checks = new FakeChecks()
    checks.answers = { checkOldRows: ({ identities }) => Promise.resolve({ ...shown(identities, 'image'), current: false }) }
    await expect(run([{ audience: authorized, rows: [gone] }], checks)).rejects.toBeInstanceOf(StalePolicyVersion)
  })

  test('of an update come whole where the new one does, and the policies of the row alone show it', async () => {
    const updated = change(fullDescribed, 3, { old: ['1', 'before'], now: ['1', 'after'] })
    const [mine, analysed] = [audience(full, 'me'), audience(catalogTable({ oid: 2, replicaIdentityFull: true, scope: 'analysed' }), 'me')]
    expect(got(await run([{ audience: mine, rows: [updated] }]), mine)).toEqual([['image', 'image']])
    const asked = new FakeChecks()
    expect(got(await run([{ audience: analysed, rows: [updated] }], asked), analysed)).toEqual([['image', 'key']])
    const byKey = new FakeChecks()
    byKey.answers = { checkRows: ({ identities }) => Promise.resolve(shown(identities, 'key')) }
    expect(got(await run([{ audience: mine, rows: [updated] }], byKey), mine)).toEqual([['key', 'key']])
    const inserted = new FakeChecks()
    await run([{ audience: mine, rows: [change(fullDescribed, 3, { now: ['1', 'after'] })] }], inserted)
    for (const checks of [asked, byKey, inserted]) expect(checks.asked('checkOldRows')).toEqual([])
  })

  test('of an update whose question fails come by their keys, and that is no fault', async () => {
    const checks = new FakeChecks()
    checks.answers = { checkOldRows: () => Promise.reject(databaseError('XX000')) }
    const mine = audience(full, 'me')
    const decision = await run([{ audience: mine, rows: [change(fullDescribed, 3, { old: ['1', 'b'], now: ['1', 'a'] })] }], checks)
    expect([got(decision, mine), decision.faults]).toEqual([[['image', 'key']], []])
  })
})
