import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** How narrow a proxy is. */
export interface NarrowProxyOptions {
  /** Bytes that are read at a time, once those before are written. Default 16 KiB. */
  readonly stepBytes?: number
  /** Default: as fast as the steps are. */
  readonly bytesPerSecond?: number
}

/** A proxy that passes on little at a time. */
export interface NarrowProxy {
  readonly port: number
  /** Reads nothing more of what the server sends, until the proxy is closed. */
  stall(): void
  close(): Promise<void>
}

/**
 * A network with small buffers, between clients on a port and a server on a Unix socket: loopback TCP takes some megabytes that
 * no one reads, a Unix socket about 200 kB, as real networks do.
 */
export async function narrowProxy(
  path: string,
  { stepBytes = 16_384, bytesPerSecond = Infinity }: NarrowProxyOptions = {},
): Promise<NarrowProxy> {
  const sockets = new Set<Socket>()
  let isStalled = false
  const pauseMs = (stepBytes / bytesPerSecond) * 1_000

  const pump = (from: Socket, to: Socket): void => {
    const chunk: Buffer | null = isStalled ? null : (from.read(Math.min(stepBytes, from.readableLength)) as Buffer | null)
    if (chunk === null) {
      if (!isStalled) from.once('readable', () => pump(from, to))
      return
    }
    to.write(chunk, () => (pauseMs > 1 ? setTimeout(() => pump(from, to), pauseMs) : setImmediate(() => pump(from, to))))
  }

  const proxy = createServer((client) => {
    const server = connect({ path })
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.once('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
    }
    client.pipe(server)
    pump(server, client)
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  return {
    port: (proxy.address() as AddressInfo).port,
    stall: () => {
      isStalled = true
    },
    close: () =>
      new Promise((resolve) => {
        proxy.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}
