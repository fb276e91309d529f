import { describe, expect, test } from 'vitest'
import { audience, catalogTable, change, databaseError, FakeChecks, got, run, shown, streamTable } from '../../test/fake-checks.ts'
import { StalePolicyVersion } from './ask-again.ts'

const table = catalogTable()
const described = streamTable(table)
const full = catalogTable({ oid: 2, replicaIdentityFull: true })
const fullDescribed = streamTable(full)
const one = change(described, 11, { now: ['1', 'body 1'] })

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
      expect((await run([{ audience: each, rows }], checks)).decided.size).toBe(0)
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

  test('of an update of a table that is no longer REPLICA IDENTITY FULL come by their keys, without a question', async () => {
    const checks = new FakeChecks()
    const mine = audience(catalogTable({ oid: 2 }), 'me')
    const updated = change(fullDescribed, 3, { old: ['1', 'before'], now: ['1', 'after'] })
    expect(got(await run([{ audience: mine, rows: [updated] }], checks), mine)).toEqual([['image', 'key']])
    expect(checks.asked('checkOldRows')).toEqual([])
  })

  test('of an update whose question fails come by their keys, and that is no fault', async () => {
    const checks = new FakeChecks()
    checks.answers = { checkOldRows: () => Promise.reject(databaseError('XX000')) }
    const mine = audience(full, 'me')
    const decision = await run([{ audience: mine, rows: [change(fullDescribed, 3, { old: ['1', 'b'], now: ['1', 'a'] })] }], checks)
    expect([got(decision, mine), decision.faults]).toEqual([[['image', 'key']], []])
  })
})
