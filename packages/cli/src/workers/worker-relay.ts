import { createHash } from 'node:crypto'
import { BrokerRelay } from '@tidewire/nats'
import type { Relay, Runtime } from '@tidewire/server'
import { version } from '../version.ts'
import { localBroker } from './local-broker.ts'

/** The socket belongs to one installation; nothing else is on it. */
const INSTALLATION = 'workers'

/** The way to the other workers of this machine, without NATS. */
export function workerRelay(path: string, name: string, runtime: Runtime): Relay {
  return new BrokerRelay({
    broker: localBroker({ path }),
    runtime,
    name,
    version: version(),
    databaseId: () => Promise.resolve(INSTALLATION),
    hash: (text) => createHash('sha256').update(text).digest('base64url'),
  })
}
