import { createHash } from 'node:crypto'
import type { Relay, Runtime } from '@tidewire/server'
import type { NatsAddress } from '../address.ts'
import { BrokerRelay, type BrokerRelayOptions } from '../relay.ts'
import { natsBroker } from './nats-broker.ts'

/** The address of NATS, and the name of this node. */
export interface NatsRelayOptions extends Omit<BrokerRelayOptions, 'broker' | 'hash'> {
  readonly address: NatsAddress
  readonly runtime: Runtime
}

/** A relay on core NATS. Connects with `start`; needs the package `@nats-io/transport-node`. */
export function natsRelay({ address, ...options }: NatsRelayOptions): Relay {
  return brokerRelay({ ...options, broker: natsBroker(address, `tidewire ${options.name}`) })
}

/** A relay on another broker than NATS. Connects with `start`. */
export function brokerRelay(options: Omit<BrokerRelayOptions, 'hash'>): Relay {
  return new BrokerRelay({ ...options, hash: sha256 })
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}
