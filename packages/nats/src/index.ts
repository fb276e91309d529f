/**
 * `@tidewire/nats`: the Relay port of `@tidewire/server` on NATS. {@link natsRelay} is the way in.
 */
export { brokerRelay, natsRelay, type NatsRelayOptions } from './io/nats-relay.ts'
export { checkNatsAddress, type NatsAddress, type NatsAddressResult, type NatsCredentials, type NatsTls } from './address.ts'
export type { BrokerRelayOptions } from './relay.ts'
export type { Broker, BrokerEvents, BrokerSession } from './broker.ts'
export { isSubjectPrefix } from './subjects.ts'
export { probeNats, type NatsProbe } from './io/nats-probe.ts'
