import { NodeInProcess } from '@tidewire/testkit'
import { describe, expect, test } from 'vitest'
import type { ChangeFeed, ChangeListener, ChangeRequest } from '../ports.ts'

/** A feed whose news are given by the test. */
class Feed implements ChangeFeed {
  readonly opened: { readonly request: ChangeRequest; readonly listener: ChangeListener; closed: boolean }[] = []

  open(request: ChangeRequest, listener: ChangeListener): { setIdentity(): void; close(): void } {
    const one = { request, listener, closed: false }
    this.opened.push(one)
    return { setIdentity: () => {}, close: () => void (one.closed = true) }
  }
}

const entry = { event: '*', schema: 'public', table: 'todos' }
const join = (node: NodeInProcess, options: object): ReturnType<NodeInProcess['connect']> => {
  const socket = node.connect()
  const config = { postgres_changes: [entry], postgres_changes_options: options }
  socket.send({ topic: 'realtime:rows', event: 'phx_join', ref: '1', joinRef: '1', payload: { config } })
  return socket
}

/** A channel that goes on from a position, and waits for its changes. */
async function resuming(): Promise<{ feed: Feed; socket: ReturnType<NodeInProcess['connect']>; listener: ChangeListener }> {
  const feed = new Feed()
  const node = new NodeInProcess({}, { changeFeed: feed })
  const socket = join(node, { wait: true, since: 'e/1/0' })
  await node.settle()
  return { feed, socket, listener: feed.opened[0]!.listener }
}

describe('a join with row changes', () => {
  test('is answered at once; news and changes follow', async () => {
    const feed = new Feed()
    const node = new NodeInProcess({}, { changeFeed: feed })
    const socket = join(node, {})
    await node.settle()
    const [reply] = socket.take()
    expect(reply).toMatchObject({
      event: 'phx_reply',
      payload: { status: 'ok', response: { postgres_changes: [{ ...entry, id: expect.any(Number) as number }] } },
    })
    const { listener, request } = feed.opened[0]!
    expect(request.entries).toEqual([
      { id: (reply!.payload as { response: { postgres_changes: { id: number }[] } }).response.postgres_changes[0]!.id, entry },
    ])
    listener.system('ok', 'Subscribed to PostgreSQL')
    listener.change('postgres_changes', Buffer.from('{"ids":[1],"data":{"n":1.50}}'))
    expect(socket.take().map(({ event, joinRef }) => [event, joinRef])).toEqual([
      ['system', '1'],
      ['postgres_changes', null],
    ])
    socket.send({ topic: 'realtime:rows', event: 'phx_leave', ref: '2', joinRef: '1' })
    expect(feed.opened[0]!.closed).toBe(true)
    listener.change('postgres_changes', Buffer.from('{}'))
  })

  test.each([
    ['many entries', Array.from({ length: 101 }, () => entry)],
    ['long ones', [{ ...entry, filter: `a=eq.${'x'.repeat(20_000)}` }]],
  ])('of a large join open after the turn of its reply, unless it has left: %s', async (_, entries) => {
    const feed = new Feed()
    const node = new NodeInProcess({}, { changeFeed: feed })
    const opened: number[] = []
    for (const leaves of [false, true]) {
      const socket = node.connect()
      const answered = (): boolean => socket.received.some(({ event }) => event === 'phx_reply')
      socket.send({ topic: 'realtime:rows', event: 'phx_join', ref: '1', joinRef: '1', payload: { config: { postgres_changes: entries } } })
      for (let turns = 0; turns < 10 && !answered(); turns++) {
        node.runtime.endTurn()
        await new Promise<void>((resolve) => setImmediate(resolve))
      }
      opened.push(feed.opened.length)
      if (leaves) socket.send({ topic: 'realtime:rows', event: 'phx_leave', ref: '2', joinRef: '1' })
      await node.settle()
      opened.push(feed.opened.length)
    }
    expect(opened).toEqual([0, 1, 1, 1])
  })

  test('that waits for them is answered when they are live, and its notice follows the reply', async () => {
    const feed = new Feed()
    const node = new NodeInProcess({}, { changeFeed: feed })
    const socket = join(node, { wait: true })
    await node.settle()
    expect(socket.take()).toEqual([])
    feed.opened[0]!.listener.system('ok', 'Subscribed to PostgreSQL', { position: 'p' })
    expect(socket.take().map(({ event, payload }) => [event, (payload as { status: string }).status])).toEqual([
      ['phx_reply', 'ok'],
      ['system', 'ok'],
    ])
    expect(feed.opened).toHaveLength(1)
    expect(node.runtime.armedTimers).toBe(0)
  })

  test('that waits gets what was replayed meanwhile after its reply, and in order', async () => {
    const { socket, listener } = await resuming()
    for (const n of [1, 2]) listener.change('postgres_changes', Buffer.from(`{"ids":[${n}]}`))
    expect(socket.take()).toEqual([])
    listener.system('ok', 'Subscribed to PostgreSQL', { recovered: true })
    listener.change('postgres_changes', Buffer.from('{"ids":[3]}'))
    const seen = socket.take().map(({ event, payload }) => [event, (payload as { ids?: unknown }).ids])
    expect(seen).toEqual([
      ['phx_reply', undefined],
      ['postgres_changes', [1]],
      ['postgres_changes', [2]],
      ['system', undefined],
      ['postgres_changes', [3]],
    ])
  })

  test('that waits is answered early when much is replayed, and loses nothing of it', async () => {
    const { feed, socket, listener } = await resuming()
    const payload = Buffer.from(JSON.stringify({ ids: [1], data: 'x'.repeat(600_000) }))
    listener.change('postgres_changes', payload)
    expect(socket.received).toEqual([])
    listener.change('postgres_changes', payload)
    expect(socket.received.map(({ event }) => event)).toEqual(['phx_reply', 'postgres_changes', 'postgres_changes'])
    listener.change('postgres_changes', payload)
    listener.system('ok', 'Subscribed to PostgreSQL', { recovered: true })
    const events = socket.take().map(({ event }) => event)
    expect(events).toEqual(['phx_reply', 'postgres_changes', 'postgres_changes', 'postgres_changes', 'system'])
    expect(feed.opened).toHaveLength(1)
  })

  test('that waits is not refused by a warning, which comes behind its answer', async () => {
    const { socket, listener } = await resuming()
    listener.system('error', 'Changes of public.todos are withheld', { live: true, code: 'changes-withheld', hint: 'Load them.' })
    expect(socket.take()).toEqual([])
    listener.system('ok', 'Subscribed to PostgreSQL', { recovered: true })
    expect(socket.take().map(({ event, payload }) => [event, (payload as { status: string }).status])).toEqual([
      ['phx_reply', 'ok'],
      ['system', 'error'],
      ['system', 'ok'],
    ])
  })

  test('that waits is refused with the reason, or when it takes too long, and leaves nothing open', async () => {
    const feed = new Feed()
    const node = new NodeInProcess({}, { changeFeed: feed })
    const [refused, late, gone] = [join(node, { wait: true }), join(node, { wait: true, timeout: 500 }), join(node, { wait: true })]
    await node.settle()
    feed.opened[0]!.listener.system('error', 'no such table')
    expect(refused.take()[0]!.payload).toEqual({ status: 'error', response: { reason: 'RealtimeDisabledForConfiguration: no such table' } })
    node.runtime.advance(500)
    expect(late.take()[0]!.payload).toMatchObject({
      status: 'error',
      response: { reason: expect.stringMatching(/^PostgresChangesSubscribeTimeout/) as string },
    })
    gone.disconnect()
    expect(feed.opened.map(({ closed }) => closed)).toEqual([true, true, true])
    expect(node.runtime.armedTimers).toBe(0)
    feed.opened[2]!.listener.system('ok', 'too late')
    expect(node.server.topics.size).toBe(0)
  })

  test('a fault is a decision, and reaches the client with code and hint (rule D17)', async () => {
    const feed = new Feed()
    const node = new NodeInProcess({}, { changeFeed: feed })
    const [asks, waits, old] = [join(node, {}), join(node, { wait: true, positions: true }), join(node, { wait: true })]
    await node.settle()
    asks.take()
    const fault = { code: 'missing-table', hint: 'There is no table public.todos' }
    for (const { listener } of feed.opened) listener.system('error', 'the text of the reference', fault)
    feed.opened[0]!.listener.system('error', 'a warning', { code: 'deletes-withheld', hint: 'full', live: true })
    feed.opened[0]!.listener.system('error', 'not now', { code: 'database-unavailable', hint: 'wait' })
    expect(asks.take()[0]!.payload).toEqual({
      message: 'the text of the reference',
      status: 'error',
      extension: 'postgres_changes',
      channel: 'rows',
      ...fault,
    })
    const reason = 'RealtimeDisabledForConfiguration: the text of the reference'
    expect(waits.take()[0]!.payload).toEqual({ status: 'error', response: { reason, ...fault } })
    expect(old.take()[0]!.payload).toEqual({ status: 'error', response: { reason } })
    expect(node.decisions.map(({ kind, code, detail, topic }) => [kind, code, detail, topic])).toEqual([
      ['changes-refused', 'missing-table', fault.hint, 'realtime:rows'],
      ['join-refused', 'missing-table', reason, 'realtime:rows'],
      ['join-refused', 'missing-table', reason, 'realtime:rows'],
      ['changes-withheld', 'deletes-withheld', 'full', 'realtime:rows'],
    ])
  })

  test('without a database says so', async () => {
    const node = new NodeInProcess()
    const [asks, waits] = [join(node, {}), join(node, { wait: true })]
    await node.settle()
    expect(asks.take().map(({ event }) => event)).toEqual(['phx_reply', 'system'])
    expect(waits.take()[0]!.payload).toMatchObject({
      status: 'error',
      response: { reason: expect.stringMatching(/^RealtimeDisabledForConfiguration/) as string },
    })
  })
})
