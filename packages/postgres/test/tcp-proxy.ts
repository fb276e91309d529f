import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** A network between a client and a server that can be cut, or go silent. */
export interface TcpProxy {
  readonly port: number
  /** Breaks every connection. */
  cut(): void
  /** From now on nothing passes on connections that exist, and they stay open. New ones are fine. */
  silence(): void
  /** Whether new connections are broken at once. */
  refuse(refuses: boolean): void
  close(): Promise<void>
}

export async function startProxy(targetPort: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>()
  let refuses = false
  const server = createServer((near) => {
    if (refuses) return void near.destroy()
    const far = connect(targetPort, '127.0.0.1')
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.on('error', () => to.destroy())
      from.on('close', () => {
        sockets.delete(from)
        if (!from.listenerCount('silent')) to.destroy()
      })
      from.pipe(to)
    }
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return {
    port: (server.address() as AddressInfo).port,
    cut: () => {
      for (const socket of sockets) socket.destroy()
    },
    silence: () => {
      for (const socket of sockets) {
        socket.unpipe()
        socket.pause()
        // Marks it, so that its end is not passed on either.
        socket.on('silent', () => {})
      }
    },
    refuse: (now) => (refuses = now),
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((done) => server.close(done))
    },
  }
}
