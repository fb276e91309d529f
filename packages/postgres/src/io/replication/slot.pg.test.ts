import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { usePostgres } from '../../../test/postgres.ts'
import { ensurePublications, publicationOids } from './publication.ts'
import { ReplicationConnection } from './replication-connection.ts'
import { createSlot, currentLsn, dropSlot, isSlotBase, listSlots, newCopyName, newSlotName } from './slot.ts'

const postgres = usePostgres()
let db: pg.Client
let replication: ReplicationConnection

beforeEach(async () => {
  const connectionString = await postgres.createDatabase()
  db = new pg.Client({ connectionString })
  await db.connect()
  replication = await ReplicationConnection.open({ connectionString }, 'tidewire test')
})

afterEach(async () => {
  await replication.close()
  for (const slot of await listSlots(db, 'mine')) await dropSlot(db, slot.name)
  await db.end()
})

describe('slots', () => {
  test('are made, listed by their first part, and dropped', async () => {
    const name = newSlotName('mine', false)
    const before = await currentLsn(db)
    const start = await createSlot(replication, name, false)
    expect(start >= before).toBe(true)
    await db.query(
      `select pg_create_logical_replication_slot('mine_other', 'pgoutput'), pg_create_logical_replication_slot('mine_12345678', 'test_decoding')`,
    )
    const [slot, ...others] = await listSlots(db, 'mine')
    expect(others).toEqual([])
    expect(slot).toMatchObject({ name, temporary: false, activePid: null, lostBecause: null, confirmedLsn: start })
    expect(slot!.retainedBytes).toBeGreaterThanOrEqual(0)
    expect(await listSlots(db, 'min')).toEqual([])
    expect(await dropSlot(db, name)).toEqual({ ok: true })
    expect(await dropSlot(db, name)).toMatchObject({ ok: false, code: 'missing' })
    await db.query(`select pg_drop_replication_slot('mine_other'), pg_drop_replication_slot('mine_12345678')`)
  })

  test('say how much they keep and how much more they may', async () => {
    await db.query(`create table filler (n int)`)
    await createSlot(replication, newSlotName('mine', false), false)
    await db.query(`insert into filler select generate_series(1, 10000)`)
    const [slot] = await listSlots(db, 'mine')
    expect(slot!.retainedBytes).toBeGreaterThan(500_000)
    expect(slot!.safeBytes).toBeGreaterThan(100_000_000)
  })

  test('that are being read are not dropped', async () => {
    const name = newSlotName('mine', false)
    const from = await createSlot(replication, name, false)
    await db.query('create publication p')
    replication.start(name, ['p'], from, { data() {}, keepalive() {}, drained() {}, failed() {} })
    await expect.poll(async () => (await listSlots(db, 'mine'))[0]?.activePid ?? null).not.toBeNull()
    expect(await dropSlot(db, name)).toMatchObject({ ok: false, code: 'active' })
  })

  test('that are temporary go with their connection', async () => {
    await createSlot(replication, newSlotName('mine', true), true)
    expect(await listSlots(db, 'mine')).toMatchObject([{ temporary: true }])
    await replication.close()
    await expect.poll(() => listSlots(db, 'mine')).toEqual([])
  })

  test('of another database are none of this one’s', async () => {
    await createSlot(replication, newSlotName('mine', false), false)
    expect(await listSlots(postgres.admin, 'mine')).toEqual([])
  })

  test('have names that Postgres takes', () => {
    expect(newSlotName('mine', false)).toMatch(/^mine_[0-9a-f]{8}$/)
    expect(newSlotName('mine', true)).toMatch(/^mine_t[0-9a-f]{8}$/)
    expect(newCopyName('mine', 'Web-1.Example_42')).toMatch(/^mine_n_web_1_example_42_[0-9a-f]{6}$/)
    expect(newCopyName('mine', 'Ünïcode')).toMatch(/^mine_n__n_code_[0-9a-f]{6}$/)
    for (const base of ['a', 'x'.repeat(50)]) expect(newCopyName(base, 'n'.repeat(300))).toMatch(/^[a-z0-9_]{63}$/)
    expect(['a', 'a_1', 'x'.repeat(50)].filter((base) => !isSlotBase(base))).toEqual([])
    expect(['', 'A', 'a-b', 'a b', 'é', '.*', 'x'.repeat(51)].filter(isSlotBase)).toEqual([])
  })
})

describe('publications', () => {
  test('that are missing are made as described, others are left alone', async () => {
    await db.query(`create table "Odd ""name""" (id int primary key); create publication old`)
    const specs = [
      { name: 'old', tables: [{ schema: 'public', name: 'Odd "name"' }] },
      { name: `new's "one"`, tables: [{ schema: 'public', name: 'Odd "name"' }], actions: ['insert', 'delete'] as const, viaRoot: true },
    ]
    expect(await ensurePublications(db, specs)).toEqual([`new's "one"`])
    expect(await ensurePublications(db, specs)).toEqual([])
    const { rows } = await db.query<{ oid: number; pubname: string }>(`
      select p.*, array(select t.tablename::text from pg_publication_tables t where t.pubname = p.pubname) as tables
      from pg_publication p order by pubname`)
    expect(rows).toMatchObject([
      {
        ...{ pubname: `new's "one"`, puballtables: false, pubviaroot: true, tables: ['Odd "name"'] },
        ...{ pubinsert: true, pubupdate: false, pubdelete: true, pubtruncate: false },
      },
      { pubname: 'old', puballtables: false, pubviaroot: false, tables: [] },
    ])
    expect(await publicationOids(db, specs)).toEqual(new Map(rows.map(({ pubname, oid }) => [pubname, oid])))
  })

  test('made by two at once are made once', async () => {
    const other = new pg.Client({ connectionString: postgres.server.url.replace(/postgres$/, db.database!) })
    await other.connect()
    try {
      const names = Array.from({ length: 20 }, (_, index) => `both_${index}`)
      for (const name of names) await Promise.all([ensurePublications(db, [{ name }]), ensurePublications(other, [{ name }])])
      expect(
        (
          await publicationOids(
            db,
            names.map((name) => ({ name })),
          )
        ).size,
      ).toBe(20)
    } finally {
      await other.end()
    }
  })

  test('have another oid when they were dropped and created again', async () => {
    await ensurePublications(db, [{ name: 'p' }])
    const before = await publicationOids(db, [{ name: 'p' }])
    await db.query('drop publication p')
    expect(await publicationOids(db, [{ name: 'p' }])).toEqual(new Map())
    await ensurePublications(db, [{ name: 'p' }])
    expect(await publicationOids(db, [{ name: 'p' }])).not.toEqual(before)
  })
})
