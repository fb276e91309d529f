import { Counter, Gauge, type Registry } from 'prom-client'
import type { Relay } from '../../ports.ts'
import { readFigures } from './read-figures.ts'

/** Figures of the way to other nodes, read when the metrics are asked for. */
export function exposeRelay(registry: Registry, relay: Pick<Relay, 'self' | 'peers' | 'link' | 'stats'>): void {
  const { gauge, counter } = readFigures(registry)
  new Gauge({ name: 'tidewire_node_info', help: 'This node: always 1.', labelNames: ['node', 'version'], registers: [registry] }).set(
    { node: relay.self.name, version: relay.self.version },
    1,
  )
  gauge('tidewire_relay_up', 'Whether the way to the other nodes is there.', () => (relay.link.state === 'up' ? 1 : 0))
  gauge('tidewire_peers', 'Other nodes that are up.', () => relay.peers.length)
  gauge('tidewire_relay_subscriptions', 'Topics whose messages this node gets from others.', () => relay.stats().subscriptions)
  counter('tidewire_relay_sent_total', 'Broadcasts sent to other nodes.', () => relay.stats().sentMessages)
  counter('tidewire_relay_sent_bytes_total', 'Bytes sent to other nodes.', () => relay.stats().sentBytes)
  counter('tidewire_relay_received_total', 'Broadcasts received from other nodes.', () => relay.stats().receivedMessages)
  counter('tidewire_relay_received_bytes_total', 'Bytes received from other nodes.', () => relay.stats().receivedBytes)
  counter('tidewire_relay_reconnects_total', 'Times that the way to the other nodes came back.', () => relay.stats().reconnects)
  const faults = new Counter({
    name: 'tidewire_relay_faults_total',
    help: 'Messages between nodes that were dropped or refused, by reason.',
    labelNames: ['code'],
    registers: [],
    collect() {
      this.reset()
      for (const [code, count] of Object.entries(relay.stats().faults)) this.inc({ code }, count)
    },
  })
  registry.registerMetric(faults)
}
