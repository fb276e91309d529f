import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { relation, tuple } from '../../../test/replication-samples.ts'
import { describeTable, type Table } from '../../replication/table.ts'
import type { RowChange } from '../../replication/transaction-assembler.ts'
import { ChangeRing } from './change-ring.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** What is reachable, outside of V8's heap as well. */
function heldBytes(): number {
  collectGarbage()
  collectGarbage()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return arrayBuffers + heapUsed
}

const bare = describeTable(relation(), null, new Map())
const table: Table = { ...bare, rowSecurity: true, primaryKey: [bare.columns[0]!] }
const transaction = { xid: 7, commitLsn: 100n, commitTime: 0n }

function inserted(seq: number, id = seq): RowChange {
  return { action: 'INSERT', table, transaction, seq, newTuple: tuple(String(id), 'x'.repeat(100)), old: null }
}

test('a transaction of any length costs what the ring may hold, and its bytes say what it costs', () => {
  const ring = new ChangeRing({ maxBytes: 32 * 1024 * 1024, maxAgeMs: 1_000_000 })
  const before = heldBytes()
  let peak = 0
  for (let seq = 0; seq < 200_000; seq++) {
    ring.append(inserted(seq), 0)
    if (seq % 256 === 0) ring.trim(0)
    if (seq % 50_000 === 49_999) peak = Math.max(peak, heldBytes() - before)
  }
  expect(ring.size).toBeLessThan(100_000)
  expect(peak / ring.bytes).toBeLessThan(1.3)
  expect(peak / ring.bytes).toBeGreaterThan(0.5)
  expect(ring.reaches({ commitLsn: 100n, seq: 0 })).toBe(false)
  expect(ring.reaches({ commitLsn: 100n, seq: 199_999 })).toBe(true)
})

test('a replay leaves nothing behind in it', () => {
  const ring = new ChangeRing({ maxBytes: 32 * 1024 * 1024, maxAgeMs: 1_000_000 })
  for (let seq = 0; seq < 20_000; seq++) ring.append(inserted(seq), 0)
  const before = heldBytes()
  for (const { newTuple } of ring.after({ commitLsn: 0n, seq: 0 }, 20_000)) expect(newTuple!.text(1)).toHaveLength(100)
  expect((heldBytes() - before) / ring.size).toBeLessThan(20)
})

test('a gap of a table is known until the next epoch', () => {
  const ring = new ChangeRing({ maxBytes: 1_000_000, maxAgeMs: 1_000_000 })
  ring.restart({ commitLsn: 10n, seq: 0 })
  ring.markGap([1, 2], 100n)
  ring.markGap([2], 80n)
  const gaps = (commitLsn: bigint, seq = 0): boolean[] => [1, 2, 3].map((oid) => ring.hasGapAfter({ commitLsn, seq }, oid))
  expect(gaps(99n, 7)).toEqual([true, true, false])
  expect(gaps(100n)).toEqual([false, false, false])
  ring.restart({ commitLsn: 10n, seq: 0 })
  expect(gaps(79n)).toEqual([false, false, false])
})

test('the tables that were written to are known, in each of their versions, as far back as it reaches', () => {
  const ring = new ChangeRing({ maxBytes: 1_000_000, maxAgeMs: 10 })
  const other: Table = { ...table, name: 'other' }
  ring.restart({ commitLsn: 10n, seq: 0 })
  ring.append(inserted(1), 0)
  ring.append({ ...inserted(2), table: other }, 5)
  ring.append(inserted(3), 5)
  const written = (seq: number): Table[] => [...ring.writtenAfter({ commitLsn: 100n, seq })]
  ring.append({ ...inserted(4), table: other, action: 'TRUNCATE', newTuple: null }, 5)
  expect([0, 1, 2, 3].map(written)).toEqual([[other, table], [other, table], [table], []])
  ring.append({ ...inserted(5), table: other }, 8)
  ring.trim(15)
  expect([0, 5].map(written)).toEqual([[other], []])
  ring.trim(20)
  expect(written(0)).toEqual([])
})
