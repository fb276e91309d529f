import { brokerRelay } from '@tidewire/nats'
import type { Relay, Runtime } from '@tidewire/server'
import { version } from '../version.ts'
import { localBroker } from './local-broker.ts'

/** The id of the installation: a local socket serves only one. */
const INSTALLATION = 'workers'

/** The relay between the workers of one machine, without NATS. */
export function workerRelay(path: string, name: string, runtime: Runtime): Relay {
  return brokerRelay({
    broker: localBroker({ path }),
    runtime,
    name,
    version: version(),
    databaseId: () => Promise.resolve(INSTALLATION),
  })
}
