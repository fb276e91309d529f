import { describe, expect, test } from 'vitest'
import { audience, catalogTable, change, databaseError, FakeChecks, got, rowsOf, run, streamTable } from '../../test/fake-checks.ts'
import { StalePolicyVersion } from './ask-again.ts'

const table = catalogTable()
const described = streamTable(table)
const open = catalogTable({ oid: 3, rowSecurity: false })
const openDescribed = streamTable(open)
const full = catalogTable({ oid: 2, replicaIdentityFull: true })
const one = change(described, 11, { now: ['1', 'body 1'] })

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

  test('an update comes whole, its old row too, also where the table has row security: they do not apply to the role', async () => {
    const bypassing = audience(full, null)
    const updated = change(streamTable(full), 1, { old: ['1', 'before'], now: ['1', 'after'] })
    const checks = new FakeChecks()
    expect(got(await run([{ audience: bypassing, rows: [updated] }], checks), bypassing)).toEqual([['image', 'image']])
    expect(checks.calls.map(({ name }) => name)).toEqual(['checkVersions'])
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

  test('an audience that is not authorized, or wants rows of a table without a key, is granted the error without a question about rows', async () => {
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
