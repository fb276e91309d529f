import { ServerRuntime } from '@tidewire/testkit'
import { describe, expect, test } from 'vitest'
import { SocketOutput } from './socket-output.ts'

const LIMITS = { maxBytes: 1_000, maxMovingBytes: 10_000, maxPauseMs: 2_000, maxWaitMs: 10_000 }

/** An output whose receiver takes bytes when the test says so. */
function opened(): {
  readonly output: SocketOutput
  readonly runtime: ServerRuntime
  readonly state: { readonly writes: number[]; overflows: number }
  readonly write: (bytes: number) => void
  readonly take: (bytes: number) => void
} {
  const runtime = new ServerRuntime()
  const state = { writes: [] as number[], overflows: 0 }
  let backlog = 0
  const transport = {
    write: (frames: Buffer) => {
      state.writes.push(frames.length)
      backlog += frames.length
    },
    backlogBytes: () => backlog,
    close: () => {},
    terminate: () => {},
  }
  const output = new SocketOutput(transport, LIMITS, runtime, { overflowed: () => state.overflows++ })
  return {
    output,
    runtime,
    state,
    write: (bytes) => output.write(Buffer.alloc(bytes), 2),
    take: (bytes) => (backlog -= bytes),
  }
}

describe('the output of a socket (rule C5)', () => {
  test('counts messages, and writes them at once', () => {
    const { output, state, write } = opened()
    write(10)
    write(20)
    expect([output.messages, state.writes, output.backlogBytes]).toEqual([4, [10, 20], 30])
  })

  test('over what may wait, a receiver that takes stays', () => {
    const { output, runtime, state, write, take } = opened()
    for (let second = 0; second < 20; second++) {
      write(3_000)
      take(3_000)
      runtime.advance(1_000)
      runtime.endTurn()
      expect(output.keepsUp()).toBe(true)
    }
    expect([state.writes.length, state.overflows]).toEqual([20, 0])
  })

  test('a frame that is larger than what may wait is no overflow', () => {
    const { runtime, state, write } = opened()
    write(5_000)
    write(1)
    runtime.endTurn()
    expect([state.writes, state.overflows]).toEqual([[5_000, 1], 0])
  })

  test('over the bound nothing more is written; its owner is notified once, at the end of the turn', () => {
    const { runtime, state, write } = opened()
    write(10_001)
    write(1)
    expect([state.writes, state.overflows]).toEqual([[10_001], 0])
    runtime.endTurn()
    runtime.endTurn()
    expect(state.overflows).toBe(1)
  })

  test('a pause counts from when the backlog went over what may wait', () => {
    const { output, runtime, write, take } = opened()
    write(2_000)
    runtime.advance(1_000)
    expect(output.keepsUp()).toBe(true)
    take(2_000)
    expect(output.keepsUp()).toBe(true)
    runtime.advance(60_000)
    write(2_000)
    for (const expected of [true, true, false]) {
      runtime.advance(1_000)
      expect(output.keepsUp()).toBe(expected)
    }
  })

  test('moves while its backlog is empty, or something of it was taken', () => {
    const { output, write, take } = opened()
    expect(output.hasMoved()).toBe(true)
    write(100)
    expect(output.hasMoved()).toBe(false)
    write(100)
    take(50)
    expect([output.hasMoved(), output.hasMoved()]).toEqual([true, false])
    take(150)
    expect(output.hasMoved()).toBe(true)
  })

  test('writes nothing after its end', () => {
    const { output, state, write } = opened()
    output.end()
    write(10)
    expect([state.writes, output.messages]).toEqual([[], 0])
  })
})
