import { describe, expect, test } from 'vitest'
import { UnfinishedMessages, type SocketMessages, type UnfinishedFault } from './unfinished-messages.ts'

const OVERHEAD = 256

function setup(maxBytes: number, timeoutMs = 30_000) {
  const clock = { now: 0 }
  const all = new UnfinishedMessages({ maxBytes, timeoutMs }, { uptime: () => clock.now })
  const refused: string[] = []
  const socket = (name: string): SocketMessages => all.of({ refuse: (fault: UnfinishedFault) => void refused.push(`${name}: ${fault}`) })
  return { clock, all, refused, socket }
}

describe('UnfinishedMessages (rule L13)', () => {
  test('the budget: one below, at it, one above; the oldest pays', () => {
    const { all, refused, socket } = setup(2_000 + 2 * OVERHEAD)
    const [a, b] = [socket('a'), socket('b')]
    a.received(1_000, 1_000)
    b.received(999, 999)
    expect(all.bytes).toBe(1_999 + 2 * OVERHEAD)
    b.closed()
    b.received(1_000, 1_000)
    expect(refused).toEqual([])
    b.closed()
    b.received(1_001, 1_001)
    expect(refused).toEqual(['a: too-many-unfinished-frames'])
    expect(all.bytes).toBe(1_001 + OVERHEAD)
  })

  test('a message that ends gives its bytes back, and what comes after it in a chunk is counted from zero', () => {
    const { all, socket } = setup(1_000_000)
    const a = socket('a')
    a.received(1_000, 1_000)
    a.received(2_000, 1_000)
    expect(all.bytes).toBe(2_000 + 2 * OVERHEAD)
    a.received(30, 500)
    expect(all.bytes).toBe(30 + OVERHEAD)
    a.received(0, 20)
    expect(all.bytes).toBe(0)
    a.closed()
    expect(all.bytes).toBe(0)
  })

  test('many small chunks cost more than their bytes', () => {
    const { all, refused, socket } = setup(100 * (1 + OVERHEAD))
    const a = socket('a')
    for (let bytes = 1; bytes <= 100; bytes++) a.received(bytes, 1)
    expect([all.bytes, refused]).toEqual([100 * (1 + OVERHEAD), []])
    a.received(101, 1)
    expect(refused).toEqual(['a: too-many-unfinished-frames'])
  })

  test('the time: just before, at it, and after; a message of its own for each', () => {
    const { clock, all, refused, socket } = setup(1_000_000, 30_000)
    const [a, b] = [socket('a'), socket('b')]
    a.received(10, 10)
    clock.now = 29_999
    all.sweep()
    b.received(10, 10)
    clock.now = 30_000
    all.sweep()
    a.received(20, 10)
    expect(refused).toEqual([])
    clock.now = 30_001
    all.sweep()
    expect(refused).toEqual(['a: frame-timeout'])
    expect(all.bytes).toBe(10 + OVERHEAD)
  })
})
