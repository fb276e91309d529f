import { ServerRuntime } from '@tidewire/testkit'
import { describe, expect, test } from 'vitest'
import { FlushScheduler } from './flush-scheduler.ts'

/** A runtime that counts its callbacks at the end of a turn. */
class CountingRuntime extends ServerRuntime {
  turnEnds = 0

  override endOfTurn(callback: () => void): void {
    this.turnEnds++
    super.endOfTurn(callback)
  }
}

function scheduler(lingerMs: number): {
  runtime: CountingRuntime
  scheduler: FlushScheduler
  flushed: string[]
  add: (name: string) => void
} {
  const runtime = new CountingRuntime()
  const made = new FlushScheduler(runtime, { lingerMs })
  const flushed: string[] = []
  return { runtime, scheduler: made, flushed, add: (name) => made.atEnd(() => void flushed.push(name)) }
}

describe('without lingering', () => {
  test('flushes run once, in order, at the end of their turn, on one callback', () => {
    const { runtime, flushed, add, scheduler: turns } = scheduler(0)
    turns.begin()
    for (const name of ['a', 'b', 'c']) add(name)
    expect([runtime.turnEnds, flushed, turns.turn]).toEqual([1, [], 0])
    runtime.endTurn()
    expect([flushed, turns.turn]).toEqual([['a', 'b', 'c'], 1])
    add('d')
    runtime.endTurn()
    expect([flushed, turns.turn, runtime.turnEnds]).toEqual([['a', 'b', 'c', 'd'], 2, 2])
  })

  test('what is scheduled by a flush runs at the end of the next turn', () => {
    const { runtime, flushed, add, scheduler: turns } = scheduler(0)
    turns.atEnd(() => add('later'))
    runtime.endTurn()
    expect(flushed).toEqual([])
    runtime.endTurn()
    expect(flushed).toEqual(['later'])
  })

  test('a turn in which nothing is pending is counted, and a busy loop waits for nothing', () => {
    const { runtime, flushed, add, scheduler: turns } = scheduler(0)
    turns.begin()
    runtime.endTurn()
    expect(turns.turn).toBe(1)
    runtime.utilization = 1
    add('a')
    runtime.endTurn()
    expect(flushed).toEqual(['a'])
    expect(runtime.armedTimers).toBe(0)
  })
})

describe('with lingering', () => {
  /** A loop that is busy, right after a flush. */
  function busy(): ReturnType<typeof scheduler> {
    const all = scheduler(2)
    all.runtime.advance(10)
    all.add('first')
    all.runtime.endTurn()
    all.runtime.utilization = 0.51
    return all
  }

  test('an idle loop, a first flush, or a pause since the last one waits for nothing', () => {
    const { runtime, flushed, add } = busy()
    expect(flushed).toEqual(['first'])
    runtime.utilization = 0.5
    add('idle')
    runtime.endTurn()
    expect(flushed).toEqual(['first', 'idle'])
    runtime.utilization = 1
    runtime.advance(2)
    add('after a pause')
    runtime.endTurn()
    expect(flushed).toEqual(['first', 'idle', 'after a pause'])
    expect(runtime.armedTimers).toBe(0)
  })

  test('a busy loop gathers for the time given, over several turns, on one timer', () => {
    const { runtime, flushed, add, scheduler: turns } = busy()
    add('a')
    runtime.endTurn()
    add('b')
    runtime.endTurn()
    expect([flushed, runtime.armedTimers, turns.turn]).toEqual([['first'], 1, 3])
    runtime.advance(1)
    expect(flushed).toEqual(['first'])
    runtime.advance(1)
    expect(flushed).toEqual(['first', 'a', 'b'])
    add('c')
    runtime.endTurn()
    expect([flushed.length, runtime.armedTimers]).toEqual([3, 1])
    runtime.advance(2)
    expect(flushed).toEqual(['first', 'a', 'b', 'c'])
  })

  test('a write of four messages is not worth waiting for more, and is forgotten once it is written', () => {
    const { runtime, flushed, add, scheduler: turns } = busy()
    add('deep')
    turns.gathered(4)
    turns.gathered(1)
    runtime.endTurn()
    expect(flushed).toEqual(['first', 'deep'])
    add('shallow')
    turns.gathered(3)
    runtime.endTurn()
    expect(flushed).toEqual(['first', 'deep'])
    expect(runtime.armedTimers).toBe(1)
  })
})
