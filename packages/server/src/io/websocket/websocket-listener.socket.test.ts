import { connect, type Socket } from 'node:net'
import { openToken, openVerifier } from '@tidewire/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { allObservers, noLimits, startServer, type Limits, type RunningServer } from '../../index.ts'
import type { Decision, Observer } from '../../ports.ts'

const decisions: Decision[] = []
const observer: Observer = { ...allObservers([]), decision: (decision) => void decisions.push(decision) }

let running: RunningServer
beforeAll(async () => {
  running = await startServer({ port: 0, verifier: openVerifier, observer, limits: noLimits, headersTimeoutMs: 400, maxSockets: 600 })
})
afterAll(() => running.stop())

const apikey = encodeURIComponent(openToken())

/** Sends a text over a raw socket and reads until the server ends it. */
function raw(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(running.port, '127.0.0.1', () => socket.write(text))
    let answer = ''
    socket.setEncoding('latin1')
    socket.on('data', (chunk: string) => (answer += chunk))
    socket.on('error', reject)
    socket.on('close', () => resolve(answer))
  })
}

function upgrade(path: string, headers = ''): string {
  return `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n${headers}\r\n`
}

function open(path = `/socket/websocket?apikey=${apikey}&vsn=2.0.0`): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${running.port}${path}`)
    socket.once('open', () => resolve(socket))
    socket.once('error', reject)
  })
}

function next(socket: WebSocket): Promise<string> {
  return new Promise((resolve) => socket.once('message', (data: Buffer) => resolve(data.toString())))
}

function closed(socket: WebSocket): Promise<number> {
  return new Promise((resolve) => socket.once('close', resolve))
}

const heartbeat = '[null,"h","phoenix","heartbeat",{}]'
const heartbeatReply = '[null,"h","phoenix","phx_reply",{"status":"ok","response":{}}]'

async function alive(socket: WebSocket): Promise<void> {
  const answer = next(socket)
  socket.send(heartbeat)
  expect(await answer).toBe(heartbeatReply)
}

test.each([
  ['Probe/1.0', 'Probe/1.0'],
  ['x'.repeat(300), 'x'.repeat(200)],
  ['', null],
])('an inspector sees the address and the user agent: %j', async (userAgent, shown) => {
  const socket = new WebSocket(`ws://127.0.0.1:${running.port}/socket/websocket?apikey=${apikey}&vsn=2.0.0`, {
    headers: { 'user-agent': userAgent },
  })
  await new Promise((resolve) => socket.once('open', resolve))
  expect(running.server.connections.newest).toMatchObject({ address: '127.0.0.1', userAgent: shown })
  socket.close()
})

describe('an upgrade', () => {
  test.each(['/socket/websocket', '/realtime/v1/websocket'])('is taken at %s, without extensions', async (path) => {
    const socket = await open(`${path}?apikey=${apikey}&vsn=2.0.0`)
    expect(socket.extensions).toBe('')
    await alive(socket)
    socket.close()
  })

  test.each([
    ['/nowhere', '', '404', '{"error":"Not Found"}'],
    [`/socket/websocket?apikey=${apikey}&vsn=3.0.0`, '', '403', ''],
    ['/socket/websocket?vsn=2.0.0', '', '401', '{"error":"API key is missing"}'],
    ['/socket/websocket?apikey=bad', '', '401', '{"error":"Failed to validate JWT signature"}'],
    [`/socket/websocket?apikey=${encodeURIComponent(openToken({}, 1))}`, '', '401', '{"error":"Token has expired"}'],
    [`/socket/websocket?apikey=${encodeURIComponent('{}')}`, '', '401', '{"error":"Fields `role` and `exp` are required in JWT"}'],
    [`/socket/websocket?apikey=${apikey}`, 'x-api-key: bad\r\n', '401', '{"error":"Failed to validate JWT signature"}'],
  ])('%s %s is refused at once with %s %s', async (path, headers, status, body) => {
    const answer = await raw(upgrade(path, headers))
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    expect(answer.slice(answer.indexOf('\r\n\r\n') + 4)).toBe(body)
  })

  test('with a head over the limit is refused', async () => {
    expect(await raw(upgrade('/socket/websocket', `x-long: ${'x'.repeat(20_000)}\r\n`))).toMatch(/^HTTP\/1.1 431 /)
  })

  test.each(['', 'GET /socket/websocket HTTP/1.1\r\nHost: x\r\nX-Slow: '])('that never ends (%j) is cut', async (start) => {
    expect(await raw(start)).toMatch(/^(HTTP\/1.1 408 |$)/)
  })

  test('a flood of half-open sockets is bounded, and those that are in go on', async () => {
    const socket = await open()
    const flood: Socket[] = []
    for (let n = 0; n < 1_000; n++) {
      const half = connect(running.port, '127.0.0.1')
      half.on('error', () => {}).resume()
      flood.push(half)
    }
    await alive(socket)
    await Promise.all(flood.map((half) => new Promise<void>((resolve) => (half.closed ? resolve() : half.once('close', () => resolve())))))
    await alive(await open())
    socket.close()
  })
})

describe('a frame', () => {
  test('over the limit closes its socket with 1009, and no other', async () => {
    const [big, other] = [await open(), await open()]
    const code = closed(big)
    big.send('x'.repeat(6_000_000))
    expect(await code).toBe(1009)
    await alive(other)
    other.close()
  })

  test('of text that is not UTF-8 is named to its sender, and the socket lives', async () => {
    const socket = await open()
    const answer = next(socket)
    socket.send(Buffer.from([0x5b, 0xff, 0xfe]), { binary: false })
    expect(JSON.parse(await answer)).toMatchObject({ 2: 'phoenix', 3: 'system', 4: { status: 'error' } })
    await alive(socket)
    socket.close()
  })

  test('that breaks the WebSocket protocol costs its own socket', async () => {
    const [bad, other] = [await open(), await open()]
    const code = closed(bad)
    // A reserved opcode, not masked.
    ;(bad as unknown as { _socket: Socket })._socket.write(Buffer.from([0x83, 0x00]))
    expect([1002, 1006]).toContain(await code)
    await alive(other)
    other.close()
  })

  test('close codes of the client are echoed', async () => {
    const socket = await open()
    const code = closed(socket)
    socket.close(4001)
    expect(await code).toBe(4001)
  })
})

test('a receiver that stops reading is closed, its memory is bounded, and no other receiver waits', async () => {
  const node = await startServer({
    port: 0,
    verifier: openVerifier,
    observer,
    limits: noLimits,
    maxBacklogBytes: 256 * 1024,
    maxMovingBacklogBytes: 256 * 1024,
  })
  try {
    const url = `ws://127.0.0.1:${node.port}/socket/websocket?apikey=${apikey}&vsn=2.0.0`
    const sockets = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const socket = new WebSocket(url)
        await new Promise((resolve) => socket.once('open', resolve))
        const joined = next(socket)
        socket.send('["1","1","realtime:room","phx_join",{"config":{}}]')
        await joined
        return socket
      }),
    )
    const [sender, reader, sleeper] = sockets as [WebSocket, WebSocket, WebSocket]
    ;(sleeper as unknown as { _socket: Socket })._socket.pause()
    let received = 0
    reader.on('message', () => received++)
    const message = `["1",null,"realtime:room","broadcast",{"type":"broadcast","event":"e","payload":"${'x'.repeat(10_000)}"}]`
    let sent = 0
    const refused = (): Decision | undefined => decisions.find(({ code }) => code === 'close-1013')
    // The kernel hides some megabytes per socket before the server sees that nothing is taken.
    while (refused() === undefined && sent < 5_000) {
      for (let n = 0; n < 20; n++, sent++) sender.send(message)
      while (received < sent) await new Promise((resolve) => reader.once('message', resolve))
    }
    expect(refused()).toMatchObject({ kind: 'connection-closed', code: 'close-1013' })
    expect(received).toBe(sent)
    for (const socket of sockets) socket.terminate()
  } finally {
    await node.stop()
  }
})

describe('messages that do not come to their end (rule L13)', () => {
  /** The head of a masked text frame of 4 MB, and some of it. */
  const begun = (bytes: number): Buffer =>
    Buffer.concat([Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0]), Buffer.alloc(bytes, 0x20)])

  async function setup(limits: Partial<Limits>) {
    const refused: Decision[] = []
    const kept: Observer = { ...observer, decision: (decision) => void refused.push(decision) }
    const node = await startServer({ port: 0, verifier: openVerifier, observer: kept, limits: { ...noLimits, ...limits } })
    const connectOne = (): Promise<WebSocket> =>
      new Promise((resolve, reject) => {
        const socket = new WebSocket(`ws://127.0.0.1:${node.port}/socket/websocket?apikey=${apikey}&vsn=2.0.0`)
        socket.once('open', () => resolve(socket))
        socket.once('error', reject)
      })
    const begin = (socket: WebSocket, bytes: number): void => void (socket as unknown as { _socket: Socket })._socket.write(begun(bytes))
    return { node, refused, connectOne, begin }
  }

  test('have a budget together: those that began first are closed, the others go on', async () => {
    const { node, refused, connectOne, begin } = await setup({ maxUnfinishedBytes: 8_000_000 })
    try {
      const codes: Promise<number>[] = []
      for (let n = 0; n < 20; n++) {
        const socket = await connectOne()
        codes.push(closed(socket))
        begin(socket, 1_000_000)
        await expect.poll(() => node.server.unfinished.bytes, { timeout: 5_000 }).toBeGreaterThanOrEqual(Math.min(n + 1, 6) * 1_000_000)
        expect(node.server.unfinished.bytes).toBeLessThanOrEqual(8_000_000)
      }
      await expect.poll(() => node.server.connections.size, { timeout: 5_000 }).toBeLessThanOrEqual(8)
      const early = await Promise.all(codes.slice(0, 12))
      for (const code of early) expect([1006, 1008]).toContain(code)
      expect(new Set(refused.map(({ code }) => code))).toEqual(new Set(['too-many-unfinished-frames', 'close-1008']))
      // A message that goes on is done before others are too many.
      const sender = await connectOne()
      const answer = next(sender)
      sender.send(`[null,"h","phoenix","heartbeat",{"x":"${'x'.repeat(2_000_000)}"}]`)
      expect(await answer).toBe(heartbeatReply)
      sender.terminate()
    } finally {
      await node.stop()
    }
  })

  test('have a time', async () => {
    const { node, refused, connectOne, begin } = await setup({ frameTimeoutMs: 300 })
    try {
      const [slow, fine] = [await connectOne(), await connectOne()]
      const code = closed(slow)
      begin(slow, 10)
      expect([1006, 1008]).toContain(await code)
      expect(refused).toMatchObject([{ kind: 'frame-refused', code: 'frame-timeout' }, { code: 'close-1008' }])
      await alive(fine)
      expect(node.server.unfinished.bytes).toBe(0)
      fine.terminate()
    } finally {
      await node.stop()
    }
  })

  test('and so many frames', async () => {
    const { node, connectOne } = await setup({})
    try {
      const send = async (frames: number): Promise<number | string> => {
        const socket = await connectOne()
        const answer = Promise.race([next(socket), closed(socket)])
        const rest = Array.from({ length: frames - 1 }, () => ' ')
        socket.send(heartbeat, { fin: rest.length === 0 })
        for (const [index, text] of rest.entries()) socket.send(text, { fin: index === rest.length - 1 })
        const answered = await answer
        socket.terminate()
        return answered
      }
      expect(await send(4_096)).toBe(heartbeatReply)
      expect(await send(4_097)).toBe(1008)
    } finally {
      await node.stop()
    }
  })
})

test('stop asks all clients to come back and ends every socket', async () => {
  const node = await startServer({ port: 0, verifier: openVerifier, observer, limits: noLimits })
  const socket = new WebSocket(`ws://127.0.0.1:${node.port}/socket/websocket?apikey=${apikey}`)
  await new Promise((resolve) => socket.once('open', resolve))
  const code = closed(socket)
  await Promise.all([node.stop(), node.stop()])
  expect(await code).toBe(1012)
  await expect(
    raw('GET / HTTP/1.1\r\n\r\n').then(() => startServer({ port: running.port, verifier: openVerifier, observer })),
  ).rejects.toMatchObject({
    code: 'port-in-use',
  })
})
