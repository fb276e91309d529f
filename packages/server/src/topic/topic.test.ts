import { ServerRuntime } from '@tidewire/testkit'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Subscriber } from './subscriber.ts'
import type { Except, Subscription } from './encoding-group.ts'
import { Topic } from './topic.ts'
import { Topics } from './topics.ts'
import { FlushScheduler } from './flush-scheduler.ts'

class Receiver implements Subscriber {
  readonly version
  readonly writes: Buffer[] = []

  constructor(version: Subscriber['version'] = '2.0.0') {
    this.version = version
  }

  write(frames: Buffer): void {
    this.writes.push(frames)
  }

  notifyGap(): void {}

  /** The payload texts in order, however many writes carried them. */
  get texts(): string[] {
    const bytes = Buffer.concat(this.writes)
    const texts: string[] = []
    for (let at = 0; at < bytes.length;) {
      let size = bytes[at + 1]! & 0x7f
      let head = 2
      if (size === 126) [size, head] = [bytes.readUInt16BE(at + 2), 4]
      else if (size === 127) [size, head] = [Number(bytes.readBigUInt64BE(at + 2)), 10]
      texts.push(bytes.toString('utf8', at + head, at + head + size))
      at += head + size
    }
    return texts
  }
}

const BOTH = { broadcast: true, presence: true }

function room(lingerMs = 0): { runtime: ServerRuntime; topic: Topic } {
  const runtime = new ServerRuntime()
  return { runtime, topic: new Topic({ name: 'room', private: false }, new FlushScheduler(runtime, { lingerMs })) }
}

function text(n: number | string): { kind: 'text'; event: string; payload: Buffer } {
  return { kind: 'text', event: 'broadcast', payload: Buffer.from(JSON.stringify(n)) }
}

const v2 = (n: number | string): string => `[null,null,"realtime:room","broadcast",${JSON.stringify(n)}]`

describe('Topic', () => {
  test.each([1, 3])(
    'returns to how many a message is written, also where its sender would not get it (%i messages in the turn)',
    (messages) => {
      const counted = (except: (deaf: Subscription, old: Subscription, reader: Subscription) => Except): void => {
        const { runtime, topic } = room()
        const [deaf, old, reader, other] = [new Receiver(), new Receiver('1.0.0'), new Receiver(), new Receiver()]
        const deafs = topic.subscribe(deaf, { broadcast: false, presence: true })
        const [olds, readers] = [old, reader, other].map((receiver) => topic.subscribe(receiver, BOTH)) as [Subscription, Subscription]
        const receivers = Array.from({ length: messages }, () =>
          topic.fanOut('broadcast', { kind: 'opaque', event: 'broadcast', bytes: Buffer.from([1]) }, except(deafs, olds, readers)),
        )
        runtime.endTurn()
        const written = [deaf, old, reader, other].reduce((sum, { texts }) => sum + texts.length, 0)
        expect(receivers.reduce((sum, count) => sum + count, 0)).toBe(written)
      }
      counted(() => null)
      counted((deaf) => deaf)
      counted((_, old) => old)
      counted((_deaf, _old, reader) => reader)
      counted((deaf, old, reader) => new Set([deaf, old, reader].map(({ subscriber }) => subscriber)))
      counted(() => new Set([new Receiver()]))
    },
  )

  test('a lone message is written at once, the same buffer to every subscriber of a version', () => {
    const { topic } = room()
    const [a, b, old] = [new Receiver(), new Receiver(), new Receiver('1.0.0')]
    for (const receiver of [a, b, old]) topic.subscribe(receiver, BOTH)
    expect(topic.fanOut('broadcast', text(1), null)).toBe(3)
    expect(a.texts).toEqual([v2(1)])
    expect(a.writes[0]).toBe(b.writes[0])
    expect(old.texts).toEqual(['{"ref":null,"event":"broadcast","payload":1,"topic":"realtime:room"}'])
  })

  test('messages of one turn are one write, once several come together', () => {
    const { runtime, topic } = room()
    const a = new Receiver()
    topic.subscribe(a, BOTH)
    for (let turn = 0; turn < 20; turn++) {
      for (let n = 0; n < 8; n++) topic.fanOut('broadcast', text(n), null)
      runtime.endTurn()
    }
    const before = a.writes.length
    for (let n = 0; n < 8; n++) topic.fanOut('broadcast', text(n), null)
    expect(a.writes.length).toBe(before)
    runtime.endTurn()
    expect(a.writes.length).toBe(before + 1)
    expect(a.texts.length).toBe(21 * 8)
  })

  test('an idle topic goes back to writing at once', () => {
    const { runtime, topic } = room()
    const a = new Receiver()
    topic.subscribe(a, BOTH)
    for (let n = 0; n < 50; n++) topic.fanOut('broadcast', text(n), null)
    runtime.endTurn()
    for (let turn = 0; turn < 30; turn++) {
      topic.fanOut('broadcast', text(turn), null)
      runtime.endTurn()
    }
    const before = a.writes.length
    topic.fanOut('broadcast', text('now'), null)
    expect(a.writes.length).toBe(before + 1)
  })

  test('the sender is left out, also of what is gathered', () => {
    const { runtime, topic } = room()
    const [a, b] = [new Receiver(), new Receiver()]
    const [as, bs] = [topic.subscribe(a, BOTH), topic.subscribe(b, BOTH)]
    for (let n = 0; n < 6; n++) topic.fanOut('broadcast', text(n), n % 2 === 0 ? as : bs)
    runtime.endTurn()
    expect(a.texts).toEqual([1, 3, 5].map(v2))
    expect(b.texts).toEqual([0, 2, 4].map(v2))
  })

  test('a binary broadcast reaches 2.0.0 only; a JSON one becomes text for 1.0.0', () => {
    const { topic, runtime } = room()
    const [a, old] = [new Receiver(), new Receiver('1.0.0')]
    topic.subscribe(a, BOTH)
    topic.subscribe(old, BOTH)
    const bytes = Buffer.from('{"n":1.50}')
    expect(topic.fanOut('broadcast', { kind: 'user', broadcast: { event: 'e', metadata: null, encoding: 'binary', bytes } }, null)).toBe(1)
    expect(
      topic.fanOut('broadcast', { kind: 'user', broadcast: { event: 'e', metadata: { id: 'x' }, encoding: 'json', bytes } }, null),
    ).toBe(2)
    expect(topic.fanOut('broadcast', { kind: 'opaque', event: 'broadcast', bytes }, null)).toBe(1)
    runtime.endTurn()
    expect(old.texts).toEqual([
      '{"ref":null,"event":"broadcast","payload":{"event":"e","meta":{"id":"x"},"payload":{"n":1.50},"type":"broadcast"},"topic":"realtime:room"}',
    ])
    expect(a.texts.length).toBe(3)
  })

  test('names too long for a binary frame go as text', () => {
    const runtime = new ServerRuntime()
    const topic = new Topic({ name: 'x'.repeat(300), private: false }, new FlushScheduler(runtime, { lingerMs: 0 }))
    const a = new Receiver()
    topic.subscribe(a, BOTH)
    topic.fanOut('broadcast', { kind: 'user', broadcast: { event: 'e', metadata: null, encoding: 'json', bytes: Buffer.from('1') } }, null)
    expect(JSON.parse(a.texts[0]!)[4]).toEqual({ event: 'e', payload: 1, type: 'broadcast' })
  })

  test('presence and broadcast go to subscribers that may read them', () => {
    const { runtime, topic } = room()
    const [all, broadcasts, presences] = [new Receiver(), new Receiver(), new Receiver()]
    topic.subscribe(all, BOTH)
    topic.subscribe(broadcasts, { broadcast: true, presence: false })
    topic.subscribe(presences, { broadcast: false, presence: true })
    topic.fanOut('broadcast', text('b'), null)
    topic.fanOut('presence', text('p'), null)
    runtime.endTurn()
    expect(all.texts).toEqual([v2('b'), v2('p')])
    expect(broadcasts.texts).toEqual([v2('b')])
    expect(presences.texts).toEqual([v2('p')])
  })

  test('a reply never overtakes the message it speaks of', () => {
    const { runtime, topic } = room()
    const a = new Receiver()
    topic.subscribe(a, BOTH)
    const reply = Buffer.from([0x81, 0x02, 0x6f, 0x6b])
    topic.inOrder(() => a.write(reply))
    expect(a.texts).toEqual(['ok'])
    topic.fanOut('broadcast', text(1), null)
    topic.fanOut('broadcast', text(2), null)
    topic.inOrder(() => a.write(reply))
    runtime.endTurn()
    expect(a.texts).toEqual(['ok', v2(1), v2(2), 'ok'])
  })

  test('a small flush waits a little when the loop is busy, and not longer; a large one does not wait', () => {
    const { runtime, topic } = room(1)
    const a = new Receiver()
    topic.subscribe(a, BOTH)
    runtime.utilization = 0.9
    const burst = (size: number): void => {
      for (let n = 0; n < size; n++) topic.fanOut('broadcast', text(n), null)
      runtime.endTurn()
    }
    for (let warm = 0; warm < 8; warm++) {
      runtime.advance(10)
      burst(3)
    }
    const before = a.texts.length
    burst(3)
    expect(a.texts.length).toBe(before)
    runtime.advance(1)
    expect(a.texts.length).toBe(before + 3)
    burst(4)
    expect(a.texts.length).toBe(before + 7)
  })

  test('64 KB do not wait for the end of the turn', () => {
    const { topic } = room()
    const a = new Receiver()
    topic.subscribe(a, BOTH)
    for (let n = 0; n < 10; n++) topic.fanOut('broadcast', text('x'.repeat(20_000)), null)
    expect(a.texts.length).toBeGreaterThanOrEqual(8)
  })

  test('many that join or leave in one turn cost a write each, not one for each other', () => {
    const { runtime, topic } = room()
    const many = Array.from({ length: 100 }, () => new Receiver())
    const subscriptions = many.map((receiver, n) => {
      const subscription = topic.subscribe(receiver, BOTH)
      topic.fanOut('presence', text(n), null)
      return subscription
    })
    runtime.endTurn()
    for (const [n, { texts, writes }] of many.entries()) {
      expect(texts).toEqual(Array.from({ length: 100 - n }, (_, after) => v2(n + after)))
      expect(writes.length).toBeLessThanOrEqual(2)
      writes.length = 0
    }
    for (const [n, subscription] of subscriptions.slice(1).entries()) {
      topic.unsubscribe(subscription)
      topic.fanOut('presence', text(n), null)
    }
    runtime.endTurn()
    expect(many[0]!.texts).toHaveLength(99)
    for (const { writes } of many) expect(writes.length).toBeLessThanOrEqual(2)
  })

  test('a subscriber that joins between messages of a turn gets those after it, and everything of later turns', () => {
    const { runtime, topic } = room()
    const [early, late] = [new Receiver(), new Receiver()]
    topic.subscribe(early, BOTH)
    const say = (...numbers: number[]): void => {
      for (const n of numbers) topic.fanOut('broadcast', text(n), null)
    }
    for (let turn = 0; turn < 20; turn++) {
      say(0, 0, 0, 0)
      runtime.endTurn()
    }
    say(1, 2, 3)
    topic.subscribe(late, BOTH)
    say(4)
    runtime.endTurn()
    for (const first of [5, 8]) {
      say(first, first + 1, first + 2)
      runtime.endTurn()
    }
    expect(late.texts).toEqual([4, 5, 6, 7, 8, 9, 10].map(v2))
    expect(late.writes).toHaveLength(3)
    expect(late.writes[1]).toBe(early.writes.at(-2))
  })

  test('what is delivered to single subscribers in a row is one frame for each version', () => {
    const { topic } = room()
    const [a, b, old, other] = [new Receiver(), new Receiver(), new Receiver('1.0.0'), new Receiver()]
    const payload = Buffer.from('{"ids":[1]}')
    for (const receiver of [a, old, b]) topic.deliverTo(receiver, 'postgres_changes', payload)
    topic.deliverTo(other, 'INSERT', payload)
    expect(a.writes[0]).toBe(b.writes[0])
    expect(old.writes[0]).not.toBe(a.writes[0])
    expect(other.texts).toEqual(['[null,null,"realtime:room","INSERT",{"ids":[1]}]'])
  })

  test('order is exact for every subscriber under any mix of joins, leaves, senders and turns', () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ do: fc.constant('send' as const), at: fc.nat(5), self: fc.boolean() }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('toggle' as const), at: fc.nat(5) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('ack' as const) }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('end' as const) }) },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const { runtime, topic } = room()
        const receivers = Array.from({ length: 6 }, (_, i) => new Receiver(i % 2 === 0 ? '2.0.0' : '1.0.0'))
        const subscriptions: (Subscription | null)[] = receivers.map(() => null)
        const expected: string[][] = receivers.map(() => [])
        let n = 0
        for (const now of steps) {
          if (now.do === 'end') runtime.endTurn()
          else if (now.do === 'toggle') {
            const subscription = subscriptions[now.at]!
            if (subscription === null) subscriptions[now.at] = topic.subscribe(receivers[now.at]!, BOTH)
            else {
              topic.unsubscribe(subscription)
              subscriptions[now.at] = null
            }
          } else if (now.do === 'ack') topic.inOrder(() => {})
          else if (now.do === 'send') {
            n++
            const sender = receivers[now.at]!
            topic.fanOut('broadcast', text(n), now.self ? null : subscriptions[now.at]!)
            receivers.forEach((receiver, i) => {
              if (subscriptions[i] !== null && (now.self || receiver !== sender)) expected[i]!.push(String(n))
            })
          }
        }
        topic.flush()
        receivers.forEach((receiver, i) => {
          const got = receiver.texts.map((frame) => {
            const message = JSON.parse(frame)
            return String(Array.isArray(message) ? message[4] : message.payload)
          })
          expect(got).toEqual(expected[i])
        })
      }),
      { numRuns: 500 },
    )
  })
})

describe('Topics', () => {
  test('public and private topics of one name are two; empty ones are forgotten', () => {
    const topics = new Topics(new FlushScheduler(new ServerRuntime(), { lingerMs: 0 }), null)
    const open = topics.open({ name: 'a', private: false })
    const closed = topics.open({ name: 'a', private: true })
    expect(open).not.toBe(closed)
    expect(topics.open({ name: 'a', private: false })).toBe(open)
    const subscription = open.subscribe(new Receiver(), BOTH)
    topics.closeIfEmpty({ name: 'a', private: false })
    topics.closeIfEmpty({ name: 'a', private: true })
    expect(topics.find({ name: 'a', private: false })).toBe(open)
    expect(topics.find({ name: 'a', private: true })).toBeUndefined()
    open.unsubscribe(subscription)
    topics.closeIfEmpty({ name: 'a', private: false })
    expect(topics.size).toBe(0)
  })
})
