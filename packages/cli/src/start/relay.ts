import { natsRelay } from '@tidewire/nats'
import { nodeRuntime, type Relay } from '@tidewire/server'
import type { Database } from '../database.ts'
import { version } from '../version.ts'
import type { ClusterConfiguration } from './nats-environment.ts'

/** The id without a database: all nodes on one prefix are one installation. */
const NO_DATABASE = 'none'

/** The relay on NATS. Connects when the server starts it. */
export function clusterRelay({ address, prefix, nodeName }: ClusterConfiguration, database: Pick<Database, 'id'> | null): Relay {
  return natsRelay({
    address,
    prefix,
    name: nodeName,
    version: version(),
    runtime: nodeRuntime(),
    databaseId: () => (database === null ? Promise.resolve(NO_DATABASE) : database.id()),
  })
}
