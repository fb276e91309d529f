import { allObservers, type Observer, type SentMessage, type Tracer } from '@tidewire/server'
import { ServerRuntime } from '@tidewire/testkit'
import { describe, expect, test } from 'vitest'
import type { TopicKey, TopicMessage } from '../ports/topic.ts'
import { FlushScheduler } from './flush-scheduler.ts'
import { Publisher, type Origin } from './publisher.ts'
import { RelayOutbox } from './relay-outbox.ts'
import type { Subscriber } from './subscriber.ts'
import { Topics } from './topics.ts'

const KEY = { name: 'room', private: true }
const JSON_BYTES = Buffer.from('{"a":1}')
const text: TopicMessage = { kind: 'text', event: 'broadcast', payload: JSON_BYTES }
const user = { kind: 'user', broadcast: { event: 'e', metadata: null, encoding: 'json', bytes: JSON_BYTES } } as const
const opaque: TopicMessage = { kind: 'opaque', event: 'broadcast', bytes: JSON_BYTES }

class Receiver implements Subscriber {
  readonly version = '2.0.0'
  messages = 0

  write(_frames: Buffer, messages: number): void {
    this.messages += messages
  }

  notifyGap(): void {}
}

function node() {
  const runtime = new ServerRuntime()
  const scheduler = new FlushScheduler(runtime, { lingerMs: 0 })
  const topics = new Topics(scheduler, null)
  const relayed: [TopicKey, readonly TopicMessage[]][] = []
  const relay = { publish: (key: TopicKey, messages: readonly TopicMessage[]) => relayed.push([key, messages]) > 0 }
  const seen: { readonly topic: string; readonly receivers: number; readonly bytes: number; readonly message: SentMessage }[] = []
  const spans: { readonly traceparent: string | null; readonly since: number | null; receivers: number | null }[] = []
  const stored: number[] = []
  const observer: Observer = {
    ...allObservers([]),
    broadcast: (topic, receivers, bytes, message) => void seen.push({ topic, receivers, bytes, message }),
    storedFannedOut: (ms) => void stored.push(ms),
  }
  const tracer: Tracer = {
    broadcast: (_topic, traceparent, _bytes, since) => {
      const span: (typeof spans)[number] = { traceparent, since, receivers: null }
      spans.push(span)
      return (receivers) => void (span.receivers = receivers)
    },
  }
  const publisher = new Publisher({ runtime, topics, observer, tracer, outbox: new RelayOutbox(relay, scheduler) })
  const [both, presenceOnly] = [new Receiver(), new Receiver()]
  const bothSubscription = topics.open(KEY).subscribe(both, { broadcast: true, presence: true })
  topics.open(KEY).subscribe(presenceOnly, { broadcast: false, presence: true })
  return { runtime, observer, relayed, topics, publisher, seen, spans, stored, both, bothSubscription, presenceOnly }
}

const origins: readonly Origin[] = [
  { kind: 'socket', connection: 'c', except: null, traceparent: null },
  { kind: 'http', traceparent: null },
  { kind: 'database', commit: null, committedAt: null, traceparent: null },
  { kind: 'relay' },
]

describe('Publisher', () => {
  test.each(origins)('a message from $kind reaches the readers of broadcasts, the observers and the tracer', (origin) => {
    const { publisher, both, presenceOnly, seen, spans, relayed } = node()
    expect(publisher.publish(KEY, user, origin)).toBe(1)
    expect([both.messages, presenceOnly.messages]).toEqual([1, 0])
    expect(seen).toEqual([
      {
        topic: 'realtime:room',
        receivers: 1,
        bytes: 7,
        message: {
          kind: 'broadcast',
          private: true,
          connection: origin.kind === 'socket' ? 'c' : null,
          event: 'e',
          encoding: 'json',
          payload: JSON_BYTES,
        },
      },
    ])
    expect(spans).toEqual([{ traceparent: null, since: null, receivers: 1 }])
    expect(relayed).toEqual(origin.kind === 'socket' || origin.kind === 'http' ? [[KEY, [user]]] : [])
  })

  test('presence reaches the readers of presence and is not traced', () => {
    const { publisher, both, presenceOnly, seen, spans, relayed } = node()
    const diff = { ...text, event: 'presence_diff' }
    expect(publisher.publish(KEY, diff, { kind: 'presence', change: 'untrack', connection: 'c' })).toBe(2)
    expect([both.messages, presenceOnly.messages]).toEqual([1, 1])
    expect(seen[0]!.message).toMatchObject({ kind: 'untrack', connection: 'c', event: 'presence_diff', encoding: 'json' })
    expect(spans).toEqual([])
    expect(relayed).toEqual([])
  })

  test('the sender is left out where it asks for that', () => {
    const { publisher, both, bothSubscription } = node()
    publisher.publish(KEY, opaque, { kind: 'socket', connection: 'c', except: bothSubscription, traceparent: null })
    expect(both.messages).toBe(0)
  })

  test('the event of a text broadcast is not read from its payload', () => {
    const { publisher, seen } = node()
    publisher.publish(KEY, text, { kind: 'http', traceparent: null })
    publisher.publish(KEY, opaque, { kind: 'http', traceparent: null })
    expect(seen.map(({ message: { event, encoding } }) => [event, encoding])).toEqual([
      [null, 'json'],
      [null, 'binary'],
    ])
  })

  test('observers and tracer see a message to a topic without subscribers, and no topic is created', () => {
    const { publisher, topics, seen, spans } = node()
    expect(publisher.publish({ name: 'empty', private: false }, user, { kind: 'http', traceparent: 't' })).toBe(0)
    expect(seen[0]).toMatchObject({ topic: 'realtime:empty', receivers: 0 })
    expect(spans).toEqual([{ traceparent: 't', since: null, receivers: 0 }])
    expect(topics.size).toBe(1)
  })

  test('a message of the database is measured from its commit, to the flush that writes it', () => {
    const { publisher, runtime, stored, spans } = node()
    const committedAt = runtime.now() - 5
    const origin = { kind: 'database', commit: null, committedAt, traceparent: null } as const
    publisher.publish(KEY, user, origin)
    publisher.publish(KEY, user, origin)
    expect(stored).toEqual([5])
    runtime.advance(2)
    runtime.endTurn()
    expect(stored).toEqual([5, 7])
    expect(spans.map(({ since }) => since)).toEqual([committedAt, committedAt])
    publisher.publish({ name: 'empty', private: false }, user, { ...origin, committedAt: runtime.now() + 60_000 })
    expect(stored.at(-1)).toBe(0)
    expect(spans.at(-1)!.since).toBe(runtime.now())
  })

  test('a lone message goes to other nodes at once, those that follow it in the turn go together', () => {
    const { publisher, relayed, runtime } = node()
    const say = (key: TopicKey): number => publisher.publish(key, user, { kind: 'http', traceparent: null })
    const other = { name: 'other', private: false }
    for (let n = 0; n < 4; n++) say(KEY)
    say(other)
    expect(relayed.map(([{ name }, { length }]) => [name, length])).toEqual([
      ['room', 1],
      ['other', 1],
    ])
    runtime.endTurn()
    expect(relayed.map(([{ name }, { length }]) => [name, length]).slice(2)).toEqual([['room', 3]])
    runtime.endTurn()
    say(other)
    expect(relayed).toHaveLength(4)
  })

  test('a busy topic goes to other nodes once a turn, and before much is pending', () => {
    const { publisher, relayed, runtime, both } = node()
    const socket = { kind: 'socket', connection: 'c', except: null, traceparent: null } as const
    for (let turn = 0; turn < 20; turn++) {
      for (let n = 0; n < 8; n++) publisher.publish(KEY, user, socket)
      runtime.endTurn()
    }
    relayed.length = 0
    for (let n = 0; n < 8; n++) publisher.publish(KEY, user, socket)
    expect(relayed).toEqual([])
    runtime.endTurn()
    expect(relayed.map(([, { length }]) => length)).toEqual([8])
    expect(both.messages).toBe(168)
    const large: TopicMessage = { kind: 'text', event: 'broadcast', payload: Buffer.alloc(40_000) }
    for (let n = 0; n < 3; n++) publisher.publish(KEY, large, socket)
    expect(relayed.map(([, { length }]) => length)).toEqual([8, 2])
  })

  test('a relayed message is traced under the parent that its metadata names', () => {
    const { publisher, spans } = node()
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    publisher.publish(KEY, { ...user, broadcast: { ...user.broadcast, metadata: { traceparent } } }, { kind: 'relay' })
    publisher.publish(KEY, text, { kind: 'relay' })
    expect(spans.map((span) => span.traceparent)).toEqual([traceparent, null])
  })

  test('nothing is put off for a message that neither is traced nor has a commit', () => {
    const { runtime, topics, seen, observer } = node()
    const { storedFannedOut: _, ...unmeasured } = observer
    const bare = new Publisher({ runtime, topics, observer: unmeasured, tracer: null, outbox: null })
    const topic = topics.find(KEY)!
    let put = 0
    topic.inOrder = () => void put++
    bare.publish(KEY, user, { kind: 'database', commit: null, committedAt: 1, traceparent: null })
    bare.publish(KEY, user, { kind: 'http', traceparent: null })
    expect(seen).toHaveLength(2)
    expect(put).toBe(0)
  })

  test('a topic that is busy with few messages is relayed at the end of the turn all the same', () => {
    const scheduled: (() => void)[] = []
    const sent: number[] = []
    const gathered: number[] = []
    const scheduler = { atEnd: (flush: () => void) => void scheduled.push(flush), gathered: (count: number) => void gathered.push(count) }
    const outbox = new RelayOutbox({ publish: (_key, messages) => sent.push(messages.length) > 0 }, scheduler)
    for (let n = 0; n < 3; n++) outbox.add(KEY, user, 7, true)
    outbox.add({ name: 'other', private: false }, user, 7, false)
    expect(scheduled).toHaveLength(1)
    expect(gathered).toEqual([1, 2, 3])
    expect(sent).toEqual([1])
    scheduled[0]!()
    expect(sent).toEqual([1, 3])
  })
})
