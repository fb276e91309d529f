/** What messages that do not come to their end cost a server's memory: many sockets begin one, and send nearly all of it. */
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { Child, type Core } from '../child.ts'
import type { ServerMessage, Usage } from '../messages.ts'

export interface UnfinishedMemory {
  readonly sockets: number
  /** Resident memory of the server's process: before, at most, and a second after the sockets are gone. */
  readonly idleBytes: number
  readonly mostBytes: number
  readonly afterBytes: number
}

const MESSAGE_BYTES = 4_990_000
const SENT_BYTES = 4_900_000
const TIMEOUT_MS = 20_000
const SETTLE_MS = 1_000

export async function measureUnfinished(sockets: number, rounds: number, core: Core): Promise<UnfinishedMemory> {
  const server = new Child<ServerMessage>('servers/tidewire.ts', core)
  try {
    const ready = await server.next(TIMEOUT_MS)
    if (ready.kind !== 'ready') throw new Error('the server did not say where it listens')
    await delay(SETTLE_MS)
    const { rssBytes: idleBytes } = await usageOf(server)
    for (let round = 0; round < rounds; round++) {
      const opened = await Promise.all(Array.from({ length: sockets }, () => open(ready.port, ready.apiKey)))
      // A socket that the server cuts ends its own sending, too.
      await Promise.all(opened.map((socket) => send(socket)))
      for (const socket of opened) socket.destroy()
      await delay(SETTLE_MS)
    }
    const { rssBytes: afterBytes, mostRssBytes: mostBytes } = await usageOf(server)
    return { sockets, idleBytes, mostBytes, afterBytes }
  } finally {
    await server.stop()
  }
}

function open(port: number, apiKey: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    socket.write(
      `GET /socket/websocket?apikey=${encodeURIComponent(apiKey)}&vsn=2.0.0 HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
    )
    socket.once('data', () => resolve(socket))
    socket.once('error', reject)
  })
}

/** Until the system has taken all of it, or the server has cut the socket. */
function send(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.on('error', () => resolve())
    socket.once('close', () => resolve())
    socket.write(head)
    socket.write(body, () => resolve())
  })
}

/** The head of a masked text frame, with a mask of zeroes. */
const head = Buffer.from([0x81, 0xff, 0, 0, 0, 0, ...bigEndian(MESSAGE_BYTES), 0, 0, 0, 0])
const body = Buffer.alloc(SENT_BYTES, 0x20)

function bigEndian(value: number): number[] {
  return [24, 16, 8, 0].map((bits) => (value >>> bits) & 0xff)
}

async function usageOf(server: Child<ServerMessage>): Promise<Usage> {
  server.send('usage')
  const usage = await server.next(TIMEOUT_MS)
  if (usage.kind !== 'usage') throw new Error(`the server answered ${usage.kind}`)
  return usage
}
