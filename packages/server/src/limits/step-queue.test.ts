import { ServerRuntime } from '@tidewire/testkit'
import { describe, expect, test } from 'vitest'
import { StepQueue } from './step-queue.ts'

/** A queue whose steps take as long as the test says. */
function queued(): {
  readonly runtime: ServerRuntime
  readonly queue: StepQueue
  readonly log: string[]
  add(name: string, steps: number, ms: number, bytes?: number): void
} {
  const runtime = new ServerRuntime()
  const queue = new StepQueue(runtime)
  const log: string[] = []
  function* work(name: string, steps: number, ms: number): Generator<undefined, string, undefined> {
    for (let step = 1; step <= steps; step++) {
      log.push(`${name}${step}`)
      runtime.advance(ms)
      if (step < steps) yield
    }
    return name
  }
  return {
    runtime,
    queue,
    log,
    add: (name, steps, ms, bytes = 1) => queue.add(work(name, steps, ms), bytes, (result) => log.push(`${result} done`)),
  }
}

function* steps(): Generator<undefined, string, undefined> {
  yield
  return ''
}

describe('a queue of steps', () => {
  test('takes nothing in the turn in which work is added, and what is quick all at once', () => {
    const { runtime, log, add } = queued()
    add('a', 2, 1)
    add('b', 1, 1)
    expect(log).toEqual([])
    runtime.endTurn()
    expect(log).toEqual(['a1', 'a2', 'a done', 'b1', 'b done'])
    runtime.endTurn()
    expect(log).toHaveLength(5)
  })

  test('gives the turn back after its share, and takes works in turns', () => {
    const { runtime, log, add } = queued()
    add('a', 3, 8)
    add('b', 2, 4)
    const turns: string[][] = []
    for (let turn = 0; turn < 6; turn++) {
      runtime.endTurn()
      turns.push(log.splice(0))
    }
    expect(turns).toEqual([['a1'], ['b1', 'b2'], ['a2'], ['b done', 'a3'], ['a done'], []])
  })

  test('drops work that throws, and goes on with the others', () => {
    const { runtime, queue, log, add } = queued()
    function* broken(): Generator<undefined, string, undefined> {
      yield
      throw new Error('broken step')
    }
    queue.add(broken(), 33 * 1024 * 1024, () => log.push('never'))
    queue.add(steps(), 1, () => {
      throw new Error('broken end')
    })
    add('a', 1, 1)
    expect(() => runtime.endTurn()).toThrow('broken step')
    expect(queue.isFull).toBe(false)
    for (let turn = 0; turn < 3; turn++)
      try {
        runtime.endTurn()
      } catch (error) {
        log.push(String(error))
      }
    expect(log.toSorted()).toEqual(['Error: broken end', 'a done', 'a1'])
  })

  test('is full above its bytes, and has room again once half of them are done', () => {
    const { runtime, queue, add } = queued()
    const half = 16 * 1024 * 1024
    let rooms = 0
    add('a', 1, 8, half)
    add('b', 1, 8, half)
    expect(queue.isFull).toBe(false)
    add('c', 1, 8)
    expect(queue.isFull).toBe(true)
    queue.whenRoom(() => rooms++)
    for (let turn = 0; turn < 3; turn++) runtime.endTurn()
    expect(rooms).toBe(0)
    // `a` and `b` are done.
    for (let turn = 0; turn < 3; turn++) runtime.endTurn()
    expect([rooms, queue.isFull]).toEqual([1, false])
    runtime.endTurn()
    expect(rooms).toBe(1)
  })
})
