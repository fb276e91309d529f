import type { NodeChannel, PeerEvent, Relay, RelayFault, RelayLink, RelayListener, RelayMessage, RelayTopic } from '@tidewire/server'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

/** Several relays over one broker that a suite may disturb. */
export interface RelayWorld {
  readonly maxPayloadBytes: number
  /** A relay that is not started. `databaseId` names its installation. */
  relay(name: string, databaseId?: string): Relay
  /** Ends the relay's way to the others, until `heal`. */
  cut(relay: Relay): void
  heal(relay: Relay): void
  /** Resolves once `read` is true; lets time pass meanwhile. Rejects after `withinMs`. */
  until(read: () => boolean, withinMs?: number): Promise<void>
  /** Lets everything that is under way arrive. */
  settled(relays: readonly Relay[]): Promise<void>
  close(): Promise<void>
}

/** Everything that a relay notified, in order. */
export class RelayRecorder implements RelayListener {
  readonly messages: { readonly topic: RelayTopic; readonly message: RelayMessage; readonly from: string }[] = []
  readonly nodeMessages: { readonly channel: NodeChannel; readonly text: string; readonly from: string }[] = []
  readonly peers: PeerEvent[] = []
  readonly gaps: ('all' | readonly RelayTopic[])[] = []
  readonly links: RelayLink[] = []
  readonly faults: RelayFault[] = []

  onMessage(topic: RelayTopic, messages: readonly RelayMessage[], from: string): void {
    for (const message of messages) this.messages.push({ topic, message, from })
  }

  onNodeMessage(channel: NodeChannel, bytes: Uint8Array, from: string): void {
    this.nodeMessages.push({ channel, text: Buffer.from(bytes).toString(), from })
  }

  onPeer(event: PeerEvent): void {
    this.peers.push(event)
  }

  onGap(topics: 'all' | readonly RelayTopic[]): void {
    this.gaps.push(topics)
  }

  onLink(link: RelayLink): void {
    this.links.push(link)
  }

  onFault(fault: RelayFault): void {
    this.faults.push(fault)
  }

  /** Payloads of text messages. */
  get texts(): string[] {
    return this.messages.map(({ message }) => (message.kind === 'text' ? Buffer.from(message.payload).toString() : message.kind))
  }
}

/** A node of a relay's world, with everything that its relay reported. */
export interface RecordedNode {
  readonly relay: Relay
  readonly seen: RelayRecorder
}

/** A broadcast with this text as its payload. */
export function textMessage(text: string): RelayMessage {
  return { kind: 'text', event: 'broadcast', payload: Buffer.from(text) }
}

/** The tests that every relay passes, whatever carries it. */
export function relayContract(title: string, open: () => Promise<RelayWorld>): void {
  describe(`${title} keeps the contract of a relay`, () => {
    let world: RelayWorld
    const nodes: RecordedNode[] = []
    beforeEach(async () => {
      world = await open()
    })
    afterEach(async () => {
      await Promise.all(nodes.splice(0).map(({ relay }) => relay.close()))
      await world.close()
    })

    const room: RelayTopic = { name: 'room', private: false }

    function begin(name: string, databaseId?: string): RecordedNode {
      const node = { relay: world.relay(name, databaseId), seen: new RelayRecorder() }
      node.relay.start(node.seen)
      nodes.push(node)
      return node
    }

    async function started(...names: readonly string[]): Promise<RecordedNode[]> {
      const those = names.map((name) => begin(name))
      await world.until(() => those.every(({ relay }) => relay.link.state === 'up' && relay.peers.length >= names.length - 1))
      return those
    }

    async function join({ relay }: RecordedNode, topic: RelayTopic = room): Promise<() => void> {
      const interest = relay.interest(topic)
      expect(await settledReady(interest.ready)).toBe(true)
      return () => interest.release()
    }

    /** Time has to pass for it to settle. */
    async function settledReady(ready: Promise<boolean> | null): Promise<boolean> {
      let value: boolean | undefined = ready === null ? true : undefined
      void ready?.then((settled) => (value = settled))
      await world.until(() => value !== undefined)
      return value!
    }

    it('delivers to the nodes with interest, and to no others', async () => {
      const [a, b, c] = await started('a', 'b', 'c')
      await join(a!)
      await join(b!)
      const messages: RelayMessage[] = [
        { kind: 'text', event: 'broadcast', payload: Buffer.from('{"a":"ö"}') },
        { kind: 'user', broadcast: { event: 'é', metadata: { id: '1', traceparent: 'x' }, encoding: 'json', bytes: Buffer.from('{}') } },
        { kind: 'user', broadcast: { event: '', metadata: null, encoding: 'binary', bytes: Uint8Array.of(0, 255) } },
        { kind: 'opaque', event: 'broadcast', bytes: Uint8Array.of() },
      ]
      expect(a!.relay.publish(room, messages)).toBe(true)
      await world.until(() => b!.seen.messages.length === 4)
      await world.settled([a!.relay, b!.relay, c!.relay])
      const plain = (message: RelayMessage): unknown =>
        message.kind === 'text'
          ? { ...message, payload: [...message.payload] }
          : message.kind === 'user'
            ? { ...message, broadcast: { ...message.broadcast, bytes: [...message.broadcast.bytes] } }
            : { ...message, bytes: [...message.bytes] }
      expect(b!.seen.messages.map(({ message }) => plain(message))).toEqual(messages.map(plain))
      expect(b!.seen.messages[0]).toMatchObject({ topic: room, from: a!.relay.self.instance })
      expect(a!.seen.messages).toEqual([])
      expect(c!.seen.messages).toEqual([])
      expect(c!.relay.stats().receivedMessages).toBe(0)
      expect(b!.seen.gaps).toEqual([])
    })

    it('keeps the order of a sender, whatever the sizes, and copies', async () => {
      const [a, b] = await started('a', 'b')
      await join(b!)
      const expected: string[] = []
      const reused = Buffer.alloc(64)
      for (let number = 0; number < 200; number++) {
        const large = number % 50 === 25 ? 'x'.repeat(world.maxPayloadBytes * 2) : ''
        const text = `${number}${large}`
        expected.push(text)
        if (large !== '') a!.relay.publish(room, [textMessage(text), textMessage(`${number}+`)])
        else {
          const length = reused.write(text)
          a!.relay.publish(room, [{ kind: 'text', event: 'broadcast', payload: reused.subarray(0, length) }])
        }
        if (large !== '') expected.push(`${number}+`)
      }
      await world.until(() => b!.seen.messages.length === expected.length, 10_000)
      expect(b!.seen.texts).toEqual(expected)
      expect(b!.seen.faults).toEqual([])
    })

    it('answers an interest when messages come, and keeps a subscription for a returning member', async () => {
      const [a, b] = await started('a', 'b')
      const first = b!.relay.interest(room)
      expect(await settledReady(first.ready)).toBe(true)
      expect(b!.relay.interest(room).ready).toBeNull()
      a!.relay.publish(room, [textMessage('1')])
      await world.until(() => b!.seen.messages.length === 1)
      first.release()
      first.release()
      a!.relay.publish(room, [textMessage('2')])
      await world.until(() => b!.seen.messages.length === 2)
    })

    it('unsubscribes a few seconds after the last member left', async () => {
      const [a, b] = await started('a', 'b')
      const release = await join(b!)
      release()
      expect(b!.relay.stats().subscriptions).toBe(1)
      const again = b!.relay.interest(room)
      expect(again.ready).toBeNull()
      again.release()
      await world.until(() => b!.relay.stats().subscriptions === 0, 10_000)
      const received = b!.relay.stats().receivedMessages
      a!.relay.publish(room, [textMessage('1')])
      await world.settled([a!.relay, b!.relay])
      expect(b!.relay.stats().receivedMessages).toBe(received)
    })

    it('keeps topics apart, whatever their names', async () => {
      const [a, b] = await started('a', 'b')
      const names = ['a.b', 'a', '*', '>', 'a b', '', 'ä€\u{1f600}', 'x'.repeat(5_000), `${'x'.repeat(4_999)}y`, 'public:a', '\r\nPUB x 0']
      const topics = names.flatMap((name) => [
        { name, private: false },
        { name, private: true },
      ])
      for (const topic of topics) await join(b!, topic)
      for (const [at, topic] of topics.entries()) a!.relay.publish(topic, [textMessage(String(at))])
      await world.until(() => b!.seen.messages.length >= topics.length)
      await world.settled([a!.relay, b!.relay])
      expect(b!.seen.messages.map(({ topic }) => topic)).toEqual(topics)
      expect(b!.seen.texts).toEqual(topics.map((_, at) => String(at)))
    })

    it('keeps installations apart', async () => {
      const one = begin('a', 'one')
      const other = begin('b', 'other')
      const third = begin('c', 'one')
      await world.until(() => one.relay.peers.length === 1 && third.relay.peers.length === 1 && other.relay.link.state === 'up')
      await join(other)
      await join(third)
      one.relay.publish(room, [textMessage('1')])
      one.relay.send('admin', Buffer.from('hello'))
      await world.until(() => third.seen.messages.length === 1 && third.seen.nodeMessages.length === 1)
      await world.settled([one.relay, other.relay, third.relay])
      expect(other.relay.peers).toEqual([])
      expect(other.seen.messages).toEqual([])
      expect(other.seen.nodeMessages).toEqual([])
    })

    it('carries node messages of any size, to all or to one', async () => {
      const [a, b, c] = await started('a', 'b', 'c')
      const large = 'y'.repeat(world.maxPayloadBytes * 2)
      a!.relay.send('presence', Buffer.from(large))
      a!.relay.send('admin', Buffer.from('to all'))
      a!.relay.send('admin', Buffer.from('to b'), b!.relay.self.instance)
      await world.until(() => b!.seen.nodeMessages.length === 3 && c!.seen.nodeMessages.length === 2)
      await world.settled([a!.relay, b!.relay, c!.relay])
      const from = a!.relay.self.instance
      expect(b!.seen.nodeMessages).toEqual([
        { channel: 'presence', text: large, from },
        { channel: 'admin', text: 'to all', from },
        { channel: 'admin', text: 'to b', from },
      ])
      expect(c!.seen.nodeMessages.map(({ text }) => text)).toEqual([large, 'to all'])
      expect(a!.seen.nodeMessages).toEqual([])
    })

    it('notifies of nodes that come, leave and close', async () => {
      const [a, b] = await started('a', 'b')
      expect(a!.seen.peers).toEqual([{ kind: 'up', peer: b!.relay.self }])
      expect(a!.relay.peers).toEqual([b!.relay.self])
      b!.relay.leave(3_000)
      b!.relay.leave(0)
      await world.until(() => a!.seen.peers.length === 2)
      await Promise.all([b!.relay.close(), b!.relay.close()])
      await world.until(() => a!.seen.peers.length === 3)
      expect(a!.seen.peers.slice(1)).toEqual([
        { kind: 'leaving', peer: b!.relay.self, spreadMs: 3_000 },
        { kind: 'down', peer: b!.relay.self },
      ])
      expect(a!.relay.peers).toEqual([])
      expect(a!.seen.faults).toEqual([])
    })

    it('reports a node that has the same name, which is another instance', async () => {
      const [a, b] = await started('twin', 'twin')
      await world.until(() => a!.seen.faults.length === 1 && b!.seen.faults.length === 1)
      expect(a!.seen.faults[0]).toMatchObject({ code: 'same-name' })
      expect(a!.relay.self.instance).not.toBe(b!.relay.self.instance)
    })

    it('drops and counts what it cannot send, and reports a gap at both ends when the link is back', async () => {
      const [a, b, c] = await started('a', 'b', 'c')
      for (const node of [a!, b!, c!]) await join(node)
      world.cut(a!.relay)
      await world.until(() => a!.relay.link.state === 'down')
      expect(a!.seen.links.at(-1)).toMatchObject({ state: 'down', detail: expect.any(String) })
      expect(a!.relay.publish(room, [textMessage('lost')])).toBe(false)
      expect(a!.relay.send('admin', Buffer.from('lost'))).toBe(false)
      expect(await a!.relay.caughtUp()).toBe(false)
      const alone = a!.relay.interest({ name: 'other', private: false })
      expect(await settledReady(alone.ready)).toBe(false)
      expect(b!.seen.gaps).toEqual([])
      world.heal(a!.relay)
      await world.until(() => a!.seen.gaps.length > 0 && b!.seen.gaps.length > 0 && c!.seen.gaps.length > 0, 15_000)
      expect(a!.seen.gaps[0]).toBe('all')
      expect(b!.seen.gaps).toEqual(['all'])
      expect(a!.relay.stats().faults).toMatchObject({ unsent: 1 })
      expect(a!.relay.stats().reconnects).toBe(1)
      a!.relay.publish(room, [textMessage('again')])
      b!.relay.publish(room, [textMessage('back')])
      await world.until(() => b!.seen.texts.includes('again') && a!.seen.texts.includes('back'))
      expect(b!.seen.texts).toEqual(['again'])
      expect(alone.ready === null || c!.seen.gaps.length === 1).toBe(true)
    })

    it('is caught up only after everything before was handed over', async () => {
      const [a, b] = await started('a', 'b')
      await join(b!)
      for (let number = 0; number < 100; number++) a!.relay.publish(room, [textMessage(String(number))])
      expect(await settledReady(a!.relay.caughtUp())).toBe(true)
      expect(await settledReady(b!.relay.caughtUp())).toBe(true)
      expect(b!.seen.messages.length).toBe(100)
    })
  })
}
