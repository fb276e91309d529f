import { checkNatsAddress, natsRelay } from '@tidewire/nats'
import { nodeRuntime, type Relay } from '@tidewire/server'
import { NatsServer, TcpProxy, type RunningNode } from '@tidewire/testkit'
import { startDatabase, type TestDatabase } from './database-node.ts'

export interface ClusterMember {
  readonly node: RunningNode
  readonly relay: Relay
  /** Its own way to NATS, which may be cut. */
  readonly toNats: TcpProxy
}

/** Real servers on one Postgres and one NATS, in this process, behind a proxy that puts every connection elsewhere. */
export class Cluster {
  readonly nats: NatsServer
  readonly database: TestDatabase
  readonly members: readonly ClusterMember[]
  /** In front of all. */
  readonly proxy: TcpProxy

  private constructor(nats: NatsServer, database: TestDatabase, members: readonly ClusterMember[], proxy: TcpProxy) {
    this.nats = nats
    this.database = database
    this.members = members
    this.proxy = proxy
  }

  static async start(names: readonly string[]): Promise<Cluster> {
    const [nats, database] = await Promise.all([NatsServer.start(), startDatabase()])
    const members: ClusterMember[] = []
    for (const name of names) members.push(await startMember(nats, database, name))
    const proxy = await TcpProxy.start(...members.map(({ node }) => ({ port: node.port })))
    return new Cluster(nats, database, members, proxy)
  }

  /** What a Supabase client is given. */
  get url(): string {
    return `http://127.0.0.1:${this.proxy.port}`
  }

  async stop(): Promise<void> {
    await this.proxy.close()
    for (const { node } of this.members) await node.stop()
    for (const { toNats } of this.members) await toNats.close()
    await this.nats.close()
    await this.database.stop()
  }
}

async function startMember(nats: NatsServer, database: TestDatabase, name: string): Promise<ClusterMember> {
  const toNats = await TcpProxy.start({ port: nats.port })
  const checked = checkNatsAddress({ url: `nats://127.0.0.1:${toNats.port}` })
  if (!checked.ok) throw new Error(checked.fault)
  const relay = natsRelay({
    address: checked.address,
    runtime: nodeRuntime(),
    name,
    version: '1',
    databaseId: () => Promise.resolve('test'),
  })
  return { node: await database.node({ relay }, name), relay, toNats }
}
