import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/** The server behind a proxy. */
export interface TcpTarget {
  readonly port: number
  /** Default 127.0.0.1. */
  readonly host?: string
}

interface Pair {
  readonly client: Socket
  readonly upstream: Socket
  readonly target: TcpTarget
}

/** Passes TCP connections on: each to the next target, so that no two in a row reach the same, and past those that refuse. Can be cut, and made silent. */
export class TcpProxy {
  readonly #server: Server
  readonly #pairs = new Set<Pair>()
  #targets: readonly TcpTarget[]
  #next = 0
  #cut = false
  #silent = false

  private constructor(targets: readonly TcpTarget[]) {
    this.#targets = targets
    this.#server = createServer((client) => this.#accept(client))
  }

  static async start(...targets: readonly TcpTarget[]): Promise<TcpProxy> {
    const proxy = new TcpProxy(targets)
    await new Promise<void>((resolve) => void proxy.#server.listen(0, '127.0.0.1', resolve))
    return proxy
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get connections(): number {
    return this.#pairs.size
  }

  /** Where the connection goes whose client has this port. */
  targetOf(clientPort: number): TcpTarget | null {
    for (const { client, target } of this.#pairs) if (client.remotePort === clientPort) return target
    return null
  }

  /** Where connections go from now on; those to targets that are left out end. */
  setTargets(...targets: readonly TcpTarget[]): void {
    this.redirect(...targets)
    for (const pair of this.#pairs) if (!targets.some(({ port }) => port === pair.target.port)) end(pair)
  }

  /** Where new connections go from now on; those that exist stay. */
  redirect(...targets: readonly TcpTarget[]): void {
    this.#targets = targets
  }

  /** Ends all connections; new ones pass. */
  drop(): void {
    for (const pair of this.#pairs) end(pair)
  }

  /** Ends the connection that is there for the longest time. */
  dropOldest(): void {
    for (const pair of this.#pairs) return end(pair)
  }

  /** Ends all connections, and refuses new ones until `heal`. */
  cut(): void {
    this.#cut = true
    this.drop()
  }

  /** Keeps connections, and lets nothing pass until `heal`. */
  silence(): void {
    this.#silent = true
    this.freeze()
  }

  /** Lets nothing pass on the connections that there are; new ones pass. */
  freeze(): void {
    for (const { client, upstream } of this.#pairs) {
      client.pause()
      upstream.pause()
    }
  }

  heal(): void {
    this.#cut = false
    this.#silent = false
    for (const { client, upstream } of this.#pairs) {
      // Nothing takes its bytes yet.
      if (upstream.connecting) continue
      client.resume()
      upstream.resume()
    }
  }

  async close(): Promise<void> {
    this.drop()
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()))
  }

  #accept(client: Socket): void {
    client.setNoDelay(true)
    client.on('error', () => client.destroy())
    this.#forward(client, this.#targets.length)
  }

  /** A target that refuses the connection is left out, as a balancer does it. */
  #forward(client: Socket, attempts: number): void {
    if (this.#cut || attempts === 0 || client.destroyed) return void client.destroy()
    const target = this.#targets[this.#next++ % this.#targets.length]!
    const upstream = connect(target.port, target.host ?? '127.0.0.1')
    const pair = { client, upstream, target }
    const over = (): void => {
      this.#pairs.delete(pair)
      end(pair)
    }
    const refused = (): void => {
      this.#pairs.delete(pair)
      client.off('close', over)
      this.#forward(client, Math.min(attempts - 1, this.#targets.length))
    }
    this.#pairs.add(pair)
    client.on('close', over)
    upstream.setNoDelay(true)
    upstream.once('error', refused)
    upstream.once('connect', () => {
      upstream.off('error', refused)
      upstream.on('error', over)
      upstream.on('close', over)
      client.pipe(upstream)
      upstream.pipe(client)
      if (this.#silent) {
        client.pause()
        upstream.pause()
      }
    })
  }
}

function end({ client, upstream }: Pair): void {
  client.destroy()
  upstream.destroy()
}
