import { expect, test } from 'vitest'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { PipelineQueue } from './pipeline-queue.ts'

/** Without tuples: a change counts 256 bytes by itself. */
const change = (): RowChange => ({ newTuple: null, old: null }) as unknown as RowChange

test('steps keep their order, and the bytes are those of the changes that are left', () => {
  const queue = new PipelineQueue()
  const [one, other] = [change(), change()]
  queue.push({ kind: 'progress', lsn: 1n })
  queue.push({ kind: 'change', change: one })
  queue.push({ kind: 'progress', lsn: 2n })
  queue.push({ kind: 'change', change: other })
  expect([queue.size, queue.bytes, queue.firstChange]).toEqual([4, 512, one])
  queue.remove(2)
  expect([queue.size, queue.bytes, queue.at(0).kind]).toEqual([2, 256, 'progress'])
  expect(queue.firstChange).toBe(other)
})

test('the first change is dropped from behind other steps', () => {
  const queue = new PipelineQueue()
  const [one, other] = [change(), change()]
  queue.push({ kind: 'progress', lsn: 1n })
  queue.push({ kind: 'change', change: one })
  queue.push({ kind: 'change', change: other })
  expect(queue.dropFirstChange()).toBe(one)
  expect([queue.size, queue.bytes, queue.at(0).kind, queue.firstChange]).toEqual([2, 256, 'progress', other])
  queue.remove(2)
  expect(queue.dropFirstChange()).toBeNull()
  expect([queue.size, queue.bytes]).toEqual([0, 0])
})

test('thousands of removed steps do not shift those that are left', () => {
  const queue = new PipelineQueue()
  for (let lsn = 0n; lsn < 10_000n; lsn++) queue.push({ kind: 'progress', lsn })
  for (let removed = 0; removed < 9_999; removed += 99) queue.remove(99)
  expect([queue.size, queue.at(0)]).toEqual([1, { kind: 'progress', lsn: 9_999n }])
})
