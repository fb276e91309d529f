import { expect, test } from 'vitest'
import { LoadGenerator, type GeneratorOptions, type SocketOwner } from './load-generator.ts'

const plan = { topics: 3, subscribers: 4, publishers: 2, durationMs: Infinity, maxMessages: 6, timeoutMs: 1_000 } as const
const closed = { ...plan, pace: { kind: 'closed', inFlight: 1 } } as const

interface FakeSocket {
  readonly owner: SocketOwner
  readonly topics: number[]
  isClosed: boolean
}

/** Sockets without a server: what a publisher sends is with the subscribers of its topic a moment later. */
function fakeSockets(joining: (nth: number) => Promise<void> = async () => {}): {
  readonly sockets: FakeSocket[]
  readonly open: GeneratorOptions['open']
} {
  const sockets: FakeSocket[] = []
  return {
    sockets,
    open: async (owner) => {
      const own: FakeSocket = { owner, topics: [], isClosed: false }
      const nth = sockets.push(own)
      return {
        join: async (topic) => {
          await joining(nth)
          own.topics.push(topic)
        },
        send: (topic, sequence) => {
          const receivers = sockets.filter((each) => each !== own && each.topics.includes(topic))
          setImmediate(() => receivers.forEach(({ owner: receiver }) => receiver.delivered(sequence, performance.now())))
        },
        close: () => (own.isClosed = true),
      }
    },
  }
}

test('each topic has one publisher, subscribers are spread, and all is delivered', async () => {
  const { sockets, open } = fakeSockets()
  const generator = new LoadGenerator({ ...closed, open })
  const opened: string[] = []
  await generator.gather((count, all) => opened.push(`${count}/${all}`))
  expect(opened.at(-1)).toBe('6/6')
  expect(sockets.map(({ owner, topics }) => [owner.isPublisher, topics])).toEqual([
    [true, [0, 2]],
    [true, [1]],
    [false, [0]],
    [false, [1]],
    [false, [2]],
    [false, [0]],
  ])
  await generator.run()
  const { messages, deliveries, faults } = generator.loop
  expect(messages).toBe(6)
  expect(deliveries).toBeGreaterThanOrEqual(6)
  expect(faults).toEqual({ lost: 0, duplicated: 0, reordered: 0 })
  generator.close()
  expect(sockets.every(({ isClosed }) => isClosed)).toBe(true)
})

test('what the server ends, ends a load, while it connects and while it runs', async () => {
  const { sockets, open } = fakeSockets(async (nth) => {
    if (nth === 3) sockets[0]!.owner.lost(new Error('gone'))
  })
  await expect(new LoadGenerator({ ...closed, open }).gather()).rejects.toThrow('gone')
  const other = fakeSockets()
  const generator = new LoadGenerator({ ...closed, maxMessages: Infinity, open: other.open })
  await generator.gather()
  const running = generator.run({ tickMs: 0 })
  other.sockets[2]!.owner.lost(new Error('gone too'))
  other.sockets[3]!.owner.lost(new Error('and another'))
  await expect(running).rejects.toThrow('gone too')
})

test('a refused socket ends it; what opens after the end is closed', async () => {
  const { sockets, open } = fakeSockets(async (nth) => {
    if (nth === 1) throw new Error('refused')
  })
  let late = (): void => {}
  const generator = new LoadGenerator({
    ...closed,
    open: async (owner) => {
      if (sockets.length === 5) await new Promise<void>((resolve) => (late = resolve))
      return open(owner)
    },
  })
  await expect(generator.gather()).rejects.toThrow('refused')
  generator.close()
  late()
  await expect.poll(() => sockets.length).toBe(6)
  await expect.poll(() => sockets[5]!.isClosed).toBe(true)
  expect(sockets[5]!.topics).toEqual([])
})
