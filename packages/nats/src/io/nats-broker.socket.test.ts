import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Waiter } from '@tidewire/testkit'
import { afterEach, describe, expect, it } from 'vitest'
import { natsBroker } from './nats-broker.ts'

/** Speaks as much of the protocol of NATS as a session needs, and can stop answering. */
class FakeNats {
  readonly lines: string[] = []
  readonly waiter = new Waiter()
  readonly sockets = new Set<Socket>()
  readonly #server: Server
  isSilent = false

  private constructor(server: Server) {
    this.#server = server
    server.on('connection', (socket) => {
      this.sockets.add(socket)
      socket.on('error', () => {})
      socket.once('close', () => {
        this.sockets.delete(socket)
        this.waiter.changed()
      })
      socket.on('data', (data) => this.#read(socket, data.toString()))
      this.#inform(socket, 1_000_000)
    })
  }

  static async start(): Promise<FakeNats> {
    const server = createServer()
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    return new FakeNats(server)
  }

  get place(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** As a server does whose settings, or whose cluster, changed. */
  inform(maxPayload: number): void {
    for (const socket of this.sockets) this.#inform(socket, maxPayload)
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy()
    this.#server.close()
  }

  #inform(socket: Socket, maxPayload: number): void {
    socket.write(`INFO ${JSON.stringify({ server_id: 'x', version: '2.10.0', proto: 1, headers: true, max_payload: maxPayload })}\r\n`)
  }

  #read(socket: Socket, text: string): void {
    this.lines.push(...text.split('\r\n'))
    if (!this.isSilent) for (const _ of text.matchAll(/^PING\r$/gm)) socket.write('PONG\r\n')
    this.waiter.changed()
  }
}

describe('a session of NATS', () => {
  const servers: FakeNats[] = []
  afterEach(() => {
    for (const server of servers.splice(0)) server.close()
  })

  async function session() {
    const server = await FakeNats.start()
    servers.push(server)
    const broker = natsBroker({ servers: [server.place], credentials: { kind: 'none' }, encryption: 'offered', tls: {} }, 'test')
    const closed: string[] = []
    const opened = await broker.connect({ closed: (detail) => closed.push(detail), refused: () => {} })
    return { server, opened, closed }
  }

  it('goes by the largest payload that the server names last, and never throws', async () => {
    const { server, opened } = await session()
    expect(opened.maxPayloadBytes).toBe(1_000_000)
    server.inform(1_000)
    await opened.confirm()
    expect(opened.maxPayloadBytes).toBe(1_000)
    expect(opened.publish('a', new Uint8Array(1_001))).toBe(false)
    expect(opened.publish('a', new Uint8Array(1_000))).toBe(true)
    await opened.close()
    expect(opened.publish('a', new Uint8Array(1))).toBe(false)
  })

  it('ends its connection to a server that is silent', async () => {
    const { server, opened, closed } = await session()
    server.isSilent = true
    opened.publish('a', Buffer.from('last words'))
    await Promise.race([opened.close(), sleep(5_000).then(() => Promise.reject(new Error('it is still closing')))])
    await server.waiter.until(() => server.sockets.size === 0)
    expect(server.lines).toContain('last words')
    expect(closed).toEqual([])
  })
})
