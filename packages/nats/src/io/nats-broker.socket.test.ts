import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually, NatsPair, natsServerPath, Waiter } from '@tidewire/testkit'
import { afterEach, describe, expect, it } from 'vitest'
import type { BrokerSession } from '../broker.ts'
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

/** Until what the first publishes reaches the second. */
async function reaches([from, to]: readonly BrokerSession[]): Promise<void> {
  let arrived = false
  const end = to!.subscribe('there', () => void (arrived = true))
  await eventually(() => {
    from!.publish('there', Buffer.from('x'))
    return arrived
  })
  end()
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

  it.skipIf(natsServerPath() === undefined)(
    'learns when its server loses another one and finds it again',
    { timeout: 20_000 },
    async () => {
      const pair = await NatsPair.start()
      const changes = [0, 0]
      const sessions = await Promise.all(
        pair.servers.map(({ port }, at) =>
          natsBroker({ servers: [`127.0.0.1:${port}`], credentials: { kind: 'none' }, encryption: 'offered', tls: {} }, 'test').connect({
            closed: () => {},
            refused: () => {},
            rerouted: () => void changes[at]!++,
          }),
        ),
      )
      try {
        // The servers may find each other before the sessions begin, or after.
        await reaches(sessions)
        const before = [...changes]
        pair.route.cut()
        await eventually(() => changes.every((count, at) => count > before[at]!))
        pair.route.heal()
        await eventually(() => changes.every((count, at) => count > before[at]! + 1))
      } finally {
        await Promise.all(sessions.map((each) => each.close()))
        await pair.close()
      }
    },
  )

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
