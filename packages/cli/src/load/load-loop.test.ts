import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LoadLoop, type LoopPlan } from './load-loop.ts'

const closed: LoopPlan = {
  topics: 2,
  subscribers: 5,
  durationMs: 10_000,
  maxMessages: Infinity,
  timeoutMs: 2_000,
  pace: { kind: 'closed', inFlight: 2 },
}
const rate: LoopPlan = { ...closed, pace: { kind: 'rate', messagesPerSecond: 100 } }
const none = { lost: 0, duplicated: 0, reordered: 0 }

/** A loop that began at 1000; `sent` holds what was published, as `topic:sequence`. */
function started(plan: LoopPlan): {
  readonly loop: LoadLoop
  readonly sent: string[]
  deliver(topic: number, sequence: number, at: number): void
} {
  const sent: string[] = []
  const loop = new LoadLoop(plan, (topic, sequence) => sent.push(`${topic}:${sequence}`))
  loop.start(1_000)
  const deliver = (topic: number, sequence: number, at: number): void => {
    for (let subscriber = topic; subscriber < plan.subscribers; subscriber += plan.topics) loop.delivered(subscriber, sequence, at)
  }
  return { loop, sent, deliver }
}

describe('a closed loop', () => {
  test('begins with what may be in flight, and sends again when the last subscriber has a message', () => {
    const { loop, sent } = started(closed)
    expect(sent.splice(0)).toEqual(['0:1', '0:2', '1:1', '1:2'])
    // Subscribers 0, 2 and 4 are on topic 0, 1 and 3 on topic 1.
    for (const subscriber of [0, 2, 1]) loop.delivered(subscriber, 1, 1_001)
    expect(sent).toEqual([])
    loop.delivered(4, 1, 1_002)
    expect(sent).toEqual(['0:3'])
    loop.delivered(3, 1, 1_003)
    expect(sent).toEqual(['0:3', '1:3'])
    expect([loop.messages, loop.deliveries, loop.lastDeliveryAt]).toEqual([6, 5, 1_003])
  })

  test('a message that comes twice is no delivery', () => {
    const { loop, sent } = started({ ...closed, topics: 1, subscribers: 2, pace: { kind: 'closed', inFlight: 1 } })
    loop.delivered(0, 1, 1_001)
    loop.delivered(0, 1, 1_005)
    expect([sent, loop.deliveries, loop.lastDeliveryAt]).toEqual([['0:1'], 1, 1_001])
    loop.delivered(1, 1, 1_006)
    expect(sent).toEqual(['0:1', '0:2'])
    expect(loop.faults.duplicated).toBe(1)
  })

  test('what was never sent is not counted', () => {
    const { loop, sent } = started(closed)
    for (const sequence of [3, NaN, 99_999_999]) loop.delivered(0, sequence, 1_001)
    expect([sent.length, loop.deliveries, loop.faults]).toEqual([4, 0, none])
  })

  test('sends no more than the most messages, and is over when they have come', () => {
    const { loop, sent, deliver } = started({ ...closed, topics: 1, maxMessages: 3 })
    deliver(0, 1, 1_001)
    deliver(0, 2, 1_002)
    expect(sent).toEqual(['0:1', '0:2', '0:3'])
    expect(loop.tick(1_003)).toBe(false)
    deliver(0, 3, 1_004)
    expect([loop.tick(1_005), loop.shareAt(1_005), loop.faults, sent.length]).toEqual([true, 1, none, 3])
  })

  test('gives up when nothing comes any more; what is missing is lost', () => {
    const { loop, deliver } = started(closed)
    deliver(0, 1, 1_500)
    expect(loop.tick(3_500)).toBe(false)
    // Now stuck: the last ones get as long again.
    expect([loop.tick(3_501), loop.tick(5_500)]).toEqual([false, false])
    loop.delivered(1, 1, 5_500)
    expect(loop.tick(5_501)).toBe(true)
    // Of topic 0, two messages to three; of topic 1, two to two, but one.
    expect(loop.faults).toEqual({ ...none, lost: 2 * 3 + 2 * 2 - 1 })
  })
})

describe('a loop at a rate', () => {
  test('sends what is due, topics in turns, and catches up', () => {
    const { loop, sent } = started(rate)
    expect(sent).toEqual([])
    const sentAt = (at: number): string[] => (loop.tick(at), sent.splice(0))
    expect(sentAt(1_000)).toEqual(['0:1'])
    expect(sentAt(1_009)).toEqual([])
    expect(sentAt(1_010)).toEqual(['1:1'])
    expect(sentAt(1_045)).toEqual(['0:2', '1:2', '0:3'])
  })

  test('does not wait for deliveries, and does not send on one', () => {
    const { loop, sent, deliver } = started(rate)
    for (const at of [6_000, 10_990]) expect(loop.tick(at)).toBe(false)
    expect(sent).toHaveLength(1_000)
    deliver(0, 1, 10_995)
    expect(sent).toHaveLength(1_000)
  })

  test('sends what the rate says for the duration, not one more', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3_000 }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 700 }),
        (perSecond, seconds, stepMs) => {
          const { loop } = started({ ...rate, durationMs: seconds * 1_000, pace: { kind: 'rate', messagesPerSecond: perSecond } })
          for (let at = 1_000; !loop.tick(at); at += stepMs);
          expect(loop.messages).toBe(perSecond * seconds)
        },
      ),
      { numRuns: 50 },
    )
  })

  test('a latency counts from when a message was due, however late it went out', () => {
    const { loop, deliver } = started(rate)
    loop.tick(1_017)
    deliver(0, 1, 1_020)
    expect(loop.latencies.maxMs).toBe(20)
    loop.forgetLatencies()
    expect(loop.latencies.maxMs).toBeNull()
    deliver(1, 1, 1_020)
    expect([loop.latencies.within(0.5), loop.latencies.maxMs]).toEqual([10, 10])
    expect(loop.deliveries).toBe(5)
  })
})

describe.each([
  ['closed', closed],
  ['rate', rate],
])('stopping: %s', (_kind, plan) => {
  test('sends nothing more, and waits for what is on its way', () => {
    const { loop, sent, deliver } = started(plan)
    loop.tick(1_010)
    const before = sent.splice(0)
    loop.stop()
    expect(loop.tick(1_030)).toBe(false)
    for (const [at, each] of before.entries()) {
      expect(loop.tick(1_040 + at)).toBe(false)
      const [topic, sequence] = each.split(':').map(Number)
      deliver(topic!, sequence!, 1_040 + at)
    }
    expect([loop.tick(1_100), sent, loop.faults]).toEqual([true, [], none])
  })

  test('is over without what has not come in time: that is lost', () => {
    const { loop, deliver } = started({ ...plan, timeoutMs: 60_000 })
    loop.tick(1_010)
    loop.stop()
    deliver(0, 1, 1_011)
    loop.delivered(1, 1, 1_011)
    expect([loop.tick(2_000), loop.tick(6_999), loop.tick(7_000)]).toEqual([false, false, true])
    expect(loop.faults.lost).toBe(loop.messages === 2 ? 1 : 3 + 1 + 2)
  })
})

test('the duration ends it', () => {
  const { loop, sent, deliver } = started({ ...closed, topics: 1, subscribers: 1, pace: { kind: 'closed', inFlight: 1 } })
  deliver(0, 1, 10_999)
  expect(loop.tick(10_999)).toBe(false)
  expect(loop.tick(11_000)).toBe(false)
  deliver(0, 2, 11_001)
  expect([loop.tick(11_002), sent]).toEqual([true, ['0:1', '0:2']])
})

test('whatever a server does, each message of each subscriber is delivered or lost', () => {
  const events = fc.array(fc.tuple(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 0, max: 12 })), { maxLength: 200 })
  fc.assert(
    fc.property(events, fc.constantFrom(closed, rate), (deliveries, plan) => {
      const { loop, sent } = started(plan)
      let at = 1_000
      for (const [subscriber, sequence] of deliveries) {
        loop.tick((at += 3))
        loop.delivered(subscriber, sequence, at)
      }
      loop.stop()
      while (!loop.tick((at += 100)));
      const expected = sent.reduce((sum, each) => sum + (each.startsWith('0:') ? 3 : 2), 0)
      expect(loop.deliveries + loop.faults.lost).toBe(expected)
    }),
  )
})
