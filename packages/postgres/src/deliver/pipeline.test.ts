import { expect, test } from 'vitest'
import { relation } from '../../test/replication-samples.ts'
import { describeTable } from '../replication/table.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { NotYetVisible } from '../decide/ask-again.ts'
import { Pipeline } from './pipeline.ts'

const table = describeTable(relation(), null, new Map())

/** A change that is its own transaction, recognized by its number. */
function inserted(xid: number): RowChange {
  const transaction = { commitLsn: BigInt(xid), commitTime: 0n, xid }
  return { action: 'INSERT', table, transaction, seq: 0, newTuple: null, old: null }
}

/** Batches are decided by hand; `log` has everything in order. */
function byHand(): {
  readonly pipeline: Pipeline
  readonly log: string[]
  turns(): Promise<void>
  decide(): Promise<void>
  fail(error?: Error): Promise<void>
  retry(): Promise<void>
} {
  const log: string[] = []
  let settled: { resolve(): void; reject(error: Error): void } | null = null
  const timers: (() => void)[] = []
  const runtime = {
    uptime: () => 0,
    endOfTurn: () => {},
    random: () => 0,
    setTimer: (callback: () => void) => {
      timers.push(callback)
      return { cancel: () => {} }
    },
  }
  const pipeline = new Pipeline(runtime, {
    source: { pause: () => log.push('pause'), resume: () => log.push('resume') },
    subscriptions: { isPrepared: () => true, prepare: () => Promise.resolve(), match: () => {}, markStale: () => {} },
    dispatcher: {
      begin: () => {},
      setAside: () => {},
      skip: ({ transaction }) => log.push(`skip ${transaction.xid}`),
      dispatch: ({ changes }) => {
        log.push(`settle ${changes.map(({ transaction }) => transaction.xid).join()}`)
        return new Promise((resolve, reject) => (settled = { resolve, reject }))
      },
    },
    window: { progressed: (lsn) => log.push(`progressed ${lsn}`), trim: () => {} },
  })
  const turns = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve()
  }
  return {
    pipeline,
    log,
    turns,
    decide: async () => (await turns(), settled!.resolve(), await turns()),
    fail: async (error: Error = Object.assign(new Error('no database'), { code: 'ECONNREFUSED' })) => (
      await turns(),
      settled!.reject(error),
      await turns()
    ),
    retry: async () => (timers.pop()!(), await turns()),
  }
}

/** As the source hands on a transaction. */
function commit(pipeline: Pipeline, xid: number): void {
  pipeline.changes([inserted(xid)])
  pipeline.progress(BigInt(xid))
}

test('transactions that come while one is being decided are decided together', async () => {
  const { pipeline, log, decide } = byHand()
  for (const xid of [1, 2, 3, 4]) commit(pipeline, xid)
  await decide()
  await decide()
  expect(log).toEqual([...['settle 1', 'settle 2,3,4'], ...['progressed 1', 'progressed 2', 'progressed 3', 'progressed 4']])
  expect(pipeline.hasWork).toBe(false)
})

test('no more than 256 changes are decided together', async () => {
  const { pipeline, log, decide } = byHand()
  for (let xid = 1; xid <= 300; xid++) commit(pipeline, xid)
  for (let batch = 0; batch < 3; batch++) await decide()
  const settled = log.filter((line) => line.startsWith('settle')).map((line) => line.slice('settle '.length).split(',').map(Number))
  expect(settled.map(({ length }) => length)).toEqual([1, 256, 43])
  expect(settled.flat()).toEqual(Array.from({ length: 300 }, (_, at) => at + 1))
  const ends = log.filter((line) => line.startsWith('progressed'))
  expect(ends).toEqual(settled.flat().map((xid) => `progressed ${xid}`))
})

test('work that needs quiet comes after what was before it and before what follows', async () => {
  const { pipeline, log, decide } = byHand()
  commit(pipeline, 1)
  commit(pipeline, 2)
  const answer = pipeline.controlled(() => (log.push('work'), 'done'))
  commit(pipeline, 3)
  await decide()
  await decide()
  expect(await answer).toBe('done')
  await decide()
  expect(log.filter((line) => /settle|work/.test(line))).toEqual(['settle 1', 'settle 2', 'work', 'settle 3'])
})

test('what could not be decided is decided again, and nothing is delivered before', async () => {
  const { pipeline, log, decide, fail, retry } = byHand()
  commit(pipeline, 1)
  commit(pipeline, 2)
  await fail()
  expect(log).toEqual(['settle 1'])
  await retry()
  await decide()
  expect(log).toEqual(['settle 1', 'settle 1,2', 'progressed 1', 'progressed 2'])
})

test('what was before transactions that are not visible yet is delivered first, and those are waited for one by one', async () => {
  const { pipeline, log, decide, fail } = byHand()
  for (const xid of [1, 2, 3, 4, 5, 6]) commit(pipeline, xid)
  await decide()
  await fail(new NotYetVisible([4, 5]))
  for (let batch = 0; batch < 3; batch++) await decide()
  expect(log.filter((line) => line.startsWith('settle'))).toEqual(['settle 1', 'settle 2,3,4,5,6', 'settle 2,3', 'settle 4', 'settle 5,6'])
  expect(log.filter((line) => line.startsWith('progressed'))).toHaveLength(6)
})

test('progress without changes is reported soon, and after what is still being decided', async () => {
  const { pipeline, log, turns, decide } = byHand()
  pipeline.progress(1n)
  await turns()
  expect(log).toEqual(['progressed 1'])
  commit(pipeline, 2)
  pipeline.progress(3n)
  await decide()
  expect(log).toEqual(['progressed 1', 'settle 2', 'progressed 2', 'progressed 3'])
})

test('a long queue that needs no question lets other work have its turn between two batches', async () => {
  const log: number[] = []
  const ends: (() => void)[] = []
  let now = 0
  const pipeline = new Pipeline(
    { uptime: () => now, random: () => 0, setTimer: () => ({ cancel: () => {} }), endOfTurn: (callback) => ends.push(callback) },
    {
      source: { pause: () => {}, resume: () => {} },
      subscriptions: { isPrepared: () => true, prepare: () => Promise.resolve(), match: () => {}, markStale: () => {} },
      dispatcher: {
        begin: () => {},
        setAside: () => {},
        skip: () => {},
        dispatch: ({ changes }) => {
          log.push(changes.length)
          now += 6
          return Promise.resolve()
        },
      },
      window: { progressed: () => {}, trim: () => {} },
    },
  )
  const microtasks = async (): Promise<void> => {
    for (let task = 0; task < 200; task++) await Promise.resolve()
  }
  pipeline.changes(Array.from({ length: 1_280 }, (_, n) => inserted(n + 1)))
  await microtasks()
  expect([log, ends.length]).toEqual([[256, 256], 1])
  ends.shift()!()
  await microtasks()
  expect([log, ends.length]).toEqual([[256, 256, 256, 256], 1])
  ends.shift()!()
  await microtasks()
  expect([log, ends.length]).toEqual([[256, 256, 256, 256, 256], 0])
})

test('what the stream brought is dropped, and nothing that comes of it later changes the queue', async () => {
  const { pipeline, log, turns, decide, fail } = byHand()
  commit(pipeline, 1)
  await turns()
  commit(pipeline, 2)
  pipeline.control(() => void log.push('control'))
  pipeline.dropStream()
  commit(pipeline, 3)
  await fail(new Error('of no row'))
  await decide()
  expect(log).toEqual(['settle 1', 'control', 'settle 3', 'progressed 3'])
  expect(pipeline.hasWork).toBe(false)
})
