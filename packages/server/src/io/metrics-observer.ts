import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Observer } from '../ports.ts'
import type { MetricsText } from './metrics-endpoint.ts'

export interface MetricsObserverOptions {
  /** Adds memory, CPU, event loop and garbage collection of the process: for one server in a process. Default false. */
  readonly processMetrics?: boolean
}

export interface MetricsObserver {
  readonly observer: Observer
  readonly metrics: MetricsText
}

/** Close codes with a meaning of their own; clients may send any, and each would be a time series. */
const CLOSE_CODES: ReadonlySet<number> = new Set([1000, 1001, 1005, 1006, 1007, 1008, 1009, 1011, 1012, 1013])

const PAYLOAD_BUCKETS = [256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304]

/**
 * Counts what happens, in a registry of its own. Names that start with `realtime_` or `phoenix_` mean what they mean in
 * Supabase Realtime, so that its dashboards go on working; the others start with `tidewire_`.
 */
export function metricsObserver({ processMetrics = false }: MetricsObserverOptions = {}): MetricsObserver {
  const registry = new Registry()
  if (processMetrics) collectDefaultMetrics({ register: registry })
  return {
    observer: countingObserver(registry),
    metrics: { contentType: registry.contentType, text: () => registry.metrics() },
  }
}

/** Plain numbers where it is hot; the registry reads them when it is asked. */
interface Totals {
  opened: number
  closed: number
  joined: number
  left: number
  broadcasts: number
  deliveries: number
  framesReceived: number
  bytesReceived: number
  bytesDelivered: number
}

function countingObserver(registry: Registry): Observer {
  const totals: Totals = {
    opened: 0,
    closed: 0,
    joined: 0,
    left: 0,
    broadcasts: 0,
    deliveries: 0,
    framesReceived: 0,
    bytesReceived: 0,
    bytesDelivered: 0,
  }
  const channelsOf = new Map<string, number>()
  exposeTotals(registry, totals, () => channelsOf.size)
  const registers = [registry]
  const closes = new Counter({
    name: 'tidewire_connections_closed_total',
    help: 'Sockets closed, by close code.',
    labelNames: ['code'],
    registers,
  })
  const decisions = new Counter({
    name: 'tidewire_decisions_total',
    help: 'What was refused, dropped or closed, by reason.',
    labelNames: ['kind', 'code'],
    registers,
  })
  const errors = new Counter({
    name: 'realtime_channel_global_error',
    help: 'Refused joins and pushes and channels closed by the server, by reason.',
    labelNames: ['code'],
    registers,
  })
  const joins = new Counter({
    name: 'phoenix_channel_joined_total',
    help: 'Joins, by their answer.',
    labelNames: ['result', 'transport'],
    registers,
  })
  const sizes = new Histogram({
    name: 'realtime_payload_size',
    help: 'Bytes of a payload.',
    labelNames: ['message_type'],
    buckets: PAYLOAD_BUCKETS,
    registers,
  }).labels({ message_type: 'broadcast' })

  return {
    decision: ({ kind, code }) => {
      decisions.inc({ kind, code })
      if (kind === 'join-refused' || kind === 'push-refused' || kind === 'channel-closed') errors.inc({ code })
      if (kind === 'join-refused') joins.inc({ result: 'error', transport: 'websocket' })
    },
    connected: () => {
      totals.opened++
    },
    disconnected: (_, code) => {
      totals.closed++
      closes.inc({ code: CLOSE_CODES.has(code) ? String(code) : 'other' })
    },
    joined: (connection) => {
      totals.joined++
      joins.inc({ result: 'ok', transport: 'websocket' })
      channelsOf.set(connection, (channelsOf.get(connection) ?? 0) + 1)
    },
    left: (connection) => {
      totals.left++
      const channels = (channelsOf.get(connection) ?? 0) - 1
      if (channels > 0) channelsOf.set(connection, channels)
      else channelsOf.delete(connection)
    },
    broadcast: (_, receivers, bytes) => {
      totals.broadcasts++
      totals.deliveries += receivers
      totals.bytesDelivered += bytes * receivers
      sizes.observe(bytes)
    },
    received: (bytes) => {
      totals.framesReceived++
      totals.bytesReceived += bytes
    },
  }
}

/** Figures that are read when somebody asks for the metrics. */
function exposeTotals(registry: Registry, totals: Totals, users: () => number): void {
  const gauge = (name: string, help: string, read: () => number): Gauge =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read())
      },
    })
  const counter = (name: string, help: string, read: () => number): Counter =>
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset()
        this.inc(read())
      },
    })
  gauge('phoenix_connections_total', 'Open sockets.', () => totals.opened - totals.closed)
  gauge('realtime_connections_global_connected', 'Sockets with at least one channel.', users)
  gauge('tidewire_channels', 'Joined channels.', () => totals.joined - totals.left)
  counter('tidewire_connections_opened_total', 'Sockets opened.', () => totals.opened)
  counter('realtime_channel_global_joins', 'Channels joined.', () => totals.joined)
  counter('realtime_channel_global_events', 'Broadcasts taken and deliveries made.', () => totals.broadcasts + totals.deliveries)
  counter('realtime_channel_global_input_bytes', 'Bytes of frames from clients.', () => totals.bytesReceived)
  counter('realtime_channel_global_output_bytes', 'Bytes of broadcast payloads to clients.', () => totals.bytesDelivered)
  counter('tidewire_broadcasts_total', 'Broadcasts fanned out.', () => totals.broadcasts)
  counter('tidewire_deliveries_total', 'Broadcasts times their receivers.', () => totals.deliveries)
  counter('tidewire_frames_received_total', 'Frames from clients.', () => totals.framesReceived)
}
