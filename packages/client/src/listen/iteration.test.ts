import { settle } from '@tidewire/testkit'
import { expect, test } from 'vitest'
import { iterate, type IterationOptions } from './iteration.ts'

function source(options?: IterationOptions): {
  iterator: AsyncIterableIterator<number>
  take(n: number): void
  end(): void
  over: AbortSignal
  started(): number
} {
  let started = 0
  let parts: { take(n: number): void; end(): void; over: AbortSignal }
  const iterator = iterate<number>(options, (take, end, over) => {
    parts = { take, end, over }
    return () => started++
  })
  return { iterator, ...parts!, started: () => started }
}

test('gives what came before, then what comes; the end ends it', async () => {
  const { iterator, take, end, over, started } = source()
  take(1)
  take(2)
  expect([await iterator.next(), await iterator.next()]).toEqual([
    { done: false, value: 1 },
    { done: false, value: 2 },
  ])
  expect(started()).toBe(0)
  const next = iterator.next()
  expect(started()).toBe(1)
  take(3)
  expect(await next).toEqual({ done: false, value: 3 })
  const last = iterator.next()
  end()
  expect([await last, await iterator.next(), over.aborted]).toEqual([{ done: true }, { done: true }, true])
})

test.each([
  ['drop-oldest', [2, 3]],
  ['drop-newest', [1, 2]],
] as const)('overflow %s', async (overflow, wanted) => {
  const { iterator, take, end } = source({ buffer: 2, overflow })
  for (const n of [1, 2, 3]) take(n)
  end()
  const items: number[] = []
  for await (const item of iterator) items.push(item)
  expect(items).toEqual(wanted)
})

test('overflow is an error unless said otherwise, after what was there', async () => {
  const { iterator, take, over } = source({ buffer: 1 })
  take(1)
  take(2)
  expect(over.aborted).toBe(true)
  expect(await iterator.next()).toEqual({ done: false, value: 1 })
  await expect(iterator.next()).rejects.toMatchObject({ code: 'buffer-overflow' })
  expect(await iterator.next()).toEqual({ done: true })
})

test('a signal ends it, as does leaving the loop', async () => {
  const controller = new AbortController()
  const { iterator, over } = source({ signal: controller.signal })
  const next = iterator.next()
  controller.abort()
  expect([await next, over.aborted]).toEqual([{ done: true }, true])
  const aborted = source({ signal: controller.signal })
  expect([await aborted.iterator.next(), aborted.over.aborted]).toEqual([{ done: true }, true])
  const other = source()
  other.take(1)
  for await (const item of other.iterator) {
    expect(item).toBe(1)
    break
  }
  await settle()
  expect(other.over.aborted).toBe(true)
})
