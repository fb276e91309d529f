import { freePort } from '../sockets/free-port.ts'
import { NatsServer } from './nats-server.ts'
import { TcpProxy } from '../sockets/tcp-proxy.ts'

/** Two NATS servers that are one, over a route that can be cut. */
export class NatsPair {
  readonly servers: readonly [NatsServer, NatsServer]
  readonly route: TcpProxy

  private constructor(servers: readonly [NatsServer, NatsServer], route: TcpProxy) {
    this.servers = servers
    this.route = route
  }

  static async start(): Promise<NatsPair> {
    const [port, other] = [await freePort(), await freePort()]
    const route = await TcpProxy.start({ port })
    const first = await NatsServer.start(`cluster { name: pair, listen: "127.0.0.1:${port}" }`)
    const routes = `routes: ["nats://127.0.0.1:${route.port}"]`
    const second = await NatsServer.start(`cluster { name: pair, listen: "127.0.0.1:${other}", ${routes} }`)
    return new NatsPair([first, second], route)
  }

  async close(): Promise<void> {
    for (const server of this.servers) await server.close()
    await this.route.close()
  }
}
