import { PHOENIX_TOPIC, type Message } from '@tidewire/protocol'
import { NodeInProcess, openToken } from '@tidewire/testkit'
import { describe, expect, test } from 'vitest'
import type { Connection } from './connection.ts'
import { LARGE_FRAME_BYTES } from './frame-reader.ts'

const room = 'realtime:room'
const broadcast = (bytes: number, event = 'large'): string => {
  const frame = (text: string): string => `["1",null,"${room}","broadcast",{"type":"broadcast","event":"${event}","payload":"${text}"}]`
  return frame('a'.repeat(bytes - frame('').length))
}
const heartbeat = (ref: string): string => `[null,"${ref}","${PHOENIX_TOPIC}","heartbeat",{}]`

/** A socket whose transport can pause, beside a receiver on the same topic. */
async function sender(): Promise<{
  readonly node: NodeInProcess
  readonly connection: Connection
  readonly calls: string[]
  readonly got: () => (string | undefined)[]
  readonly replies: () => string[]
  readonly send: (text: string) => void
}> {
  const node = new NodeInProcess()
  const receiver = node.connect()
  await receiver.join(room)
  const calls: string[] = []
  const written: string[] = []
  const connection = node.server.accept(
    { version: '2.0.0', token: openToken(), headers: {} },
    {
      write: (frames) => void written.push(frames.toString()),
      backlogBytes: () => 0,
      close: (code) => void calls.push(`close ${code}`),
      terminate: () => void calls.push('terminate'),
      pause: () => void calls.push('pause'),
      resume: () => void calls.push('resume'),
    },
  )
  const send = (text: string): void => connection.receive(Buffer.from(text), false)
  send(`["1","1","${room}","phx_join",{"config":{}}]`)
  await node.settle()
  receiver.take()
  const eventOf = ({ payload }: Message): string | undefined => (payload as { event?: string }).event
  return {
    ...{ node, connection, calls, send },
    got: () => receiver.take().map(eventOf),
    replies: () => written.splice(0).flatMap((text) => /"(h\d)"/.exec(text)?.[1] ?? []),
  }
}

describe('frames of a socket', () => {
  test.each([
    [LARGE_FRAME_BYTES - 1, false],
    [LARGE_FRAME_BYTES, false],
    [LARGE_FRAME_BYTES + 1, true],
  ])('of %i bytes are read in steps: %s', async (bytes, inSteps) => {
    const { node, calls, got, send } = await sender()
    send(broadcast(bytes))
    expect([got(), calls]).toEqual(inSteps ? [[], ['pause']] : [['large'], []])
    await node.settle()
    expect([got(), calls]).toEqual(inSteps ? [['large'], ['pause', 'resume']] : [[], []])
  })

  test('that come behind one wait for it, large ones as well, and the order stays', async () => {
    const { node, calls, got, replies, send } = await sender()
    send(broadcast(200_000, 'one'))
    send(broadcast(1_000, 'two'))
    send(heartbeat('h1'))
    send(broadcast(200_000, 'three'))
    send(broadcast(1_000, 'four'))
    send(heartbeat('h2'))
    expect([got(), replies()]).toEqual([[], []])
    await node.settle()
    expect([got(), replies()]).toEqual([
      ['one', 'two', 'three', 'four'],
      ['h1', 'h2'],
    ])
    expect(calls).toEqual(['pause', 'pause', 'resume'])
  })

  test('that came before the client closed count; then the socket is forgotten', async () => {
    const { node, connection, got, send } = await sender()
    send(broadcast(200_000, 'one'))
    send(broadcast(200_000, 'two'))
    connection.transportClosed(1000)
    expect([got(), node.server.connections.size]).toEqual([[], 2])
    await node.settle()
    expect([got(), node.server.connections.size]).toEqual([['one', 'two'], 1])
  })

  test('that waited when the server closed the socket are not taken', async () => {
    const { node, connection, calls, got, send } = await sender()
    send(broadcast(200_000, 'one'))
    send(broadcast(1_000, 'two'))
    connection.close(1001, 'enough')
    await node.settle()
    expect([got(), calls]).toEqual([[], ['pause', 'close 1001', 'resume']])
  })

  test('of many sockets: while too much waits, nothing more is taken from those whose message is large', async () => {
    const { node, connection, calls, send } = await sender()
    connection.awaitRoom()
    expect(calls).toEqual([])
    const others = Array.from({ length: 170 }, () => node.connect())
    for (const other of others) other.sendRaw(broadcast(200_000))
    connection.awaitRoom()
    expect(calls).toEqual(['pause'])
    await node.settle()
    expect(calls).toEqual(['pause', 'resume'])
    send(broadcast(200_000))
    connection.awaitRoom()
    expect(calls).toEqual(['pause', 'resume', 'pause'])
  })
})
