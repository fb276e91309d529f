import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client'
import type { ChangeFeed, Observer, Relay } from '../../ports.ts'
import type { MetricsText } from '../http/metrics-endpoint.ts'
import { PlainHistogram, type Series } from './plain-histogram.ts'
import { readFigures } from './read-figures.ts'
import { exposeRelay } from './relay-metrics.ts'
import { exposeWindow } from './window-metrics.ts'

/** Figures besides those of the server's own work. */
export interface MetricsObserverOptions {
  /** Adds memory, CPU, event loop and garbage collection of the process: for one server in a process. Default false. */
  readonly processMetrics?: boolean
  /** The replication slots of the database with the bytes of write-ahead log that each keeps; asked at every scrape. Must not reject. */
  readonly slots?: () => Promise<readonly SlotSize[]>
  /** The way to other nodes. */
  readonly relay?: Pick<Relay, 'self' | 'peers' | 'link' | 'stats'>
  /** Where row changes come from: how far back clients can resume. */
  readonly changeFeed?: Pick<ChangeFeed, 'progress'> | null
}

/** A replication slot, and the bytes of write-ahead log that Postgres keeps because of it. */
export interface SlotSize {
  readonly name: string
  /** The node that reads it, where it is one of several. */
  readonly node?: string | null
  readonly retainedBytes: number
}

/** An observer that counts, and the text of `/metrics`. */
export interface MetricsObserver {
  readonly observer: Observer
  readonly metrics: MetricsText
}

/** Close codes with a meaning of their own; clients may send any, and each would be a time series. */
const CLOSE_CODES: ReadonlySet<number> = new Set([1000, 1001, 1005, 1006, 1007, 1008, 1009, 1011, 1012, 1013])

const PAYLOAD_BUCKETS = [256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304]

/** Seconds, from the latency of an idle server to that of a broken one. */
const LATENCY_BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60]

/** Milliseconds, as that metric has always had them: its bounds of 10, 250 and 5000, and some between them. */
const STORED_BUCKETS = [1, 2.5, 5, 10, 25, 50, 100, 250, 1000, 5000, 15_000]

/**
 * Counts what happens, in a registry of its own. Names that start with `realtime_` or `phoenix_` mean what they mean in
 * Supabase Realtime, so that its dashboards go on working; the others start with `tidewire_`.
 */
export function metricsObserver({ processMetrics = false, slots, relay, changeFeed }: MetricsObserverOptions = {}): MetricsObserver {
  const registry = new Registry()
  if (processMetrics) collectDefaultMetrics({ register: registry })
  if (slots !== undefined) exposeSlots(registry, slots)
  if (relay !== undefined) exposeRelay(registry, relay)
  if (changeFeed) exposeWindow(registry, changeFeed)
  const histograms = histogramsOf()
  return {
    observer: countingObserver(registry, histograms),
    metrics: {
      contentType: registry.contentType,
      text: async () =>
        (await registry.metrics()) +
        Object.values(histograms)
          .map((histogram) => histogram.text())
          .join(''),
    },
  }
}

function histogramsOf() {
  const latency = (name: string, help: string): PlainHistogram => new PlainHistogram(name, help, LATENCY_BUCKETS)
  return {
    sizes: new PlainHistogram('realtime_payload_size', 'Bytes of a payload.', PAYLOAD_BUCKETS),
    fanOut: latency('tidewire_fan_out_seconds', 'From the frame that brings a message to the last write of it.'),
    stored: new PlainHistogram(
      'realtime_tenants_broadcast_from_database_latency_committed_at',
      'Milliseconds from the commit of a broadcast that SQL sent to the frames of it.',
      STORED_BUCKETS,
    ),
    changes: latency('tidewire_change_seconds', 'From the commit of a row change to the frames of it, of changes that some channel gets.'),
    authorizations: latency('tidewire_authorization_seconds', 'What the policies of a private channel took to answer.'),
    feedLag: latency(
      'tidewire_feed_lag_seconds',
      'How long the oldest change that is not delivered has waited, looked at every few seconds.',
    ),
  }
}

/** Plain numbers, as they are counted on the hot path; the registry reads them when it is asked. */
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
  presenceEvents: number
  changes: number
  changeDeliveries: number
  feedLagBytes: number
  feedFaults: number
}

function countingObserver(registry: Registry, histograms: ReturnType<typeof histogramsOf>): Observer {
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
    presenceEvents: 0,
    changes: 0,
    changeDeliveries: 0,
    feedLagBytes: 0,
    feedFaults: 0,
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
  const [broadcastSizes, presenceSizes, changeSizes] = (['broadcast', 'presence', 'postgres_changes'] as const).map((type) =>
    histograms.sizes.series({ message_type: type }),
  ) as [Series, Series, Series]
  const [fanOut, stored, changes] = [histograms.fanOut.series(), histograms.stored.series(), histograms.changes.series()]
  const [authorizations, feedLag] = [histograms.authorizations.series(), histograms.feedLag.series()]

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
    broadcast: (_, receivers, bytes, { kind }) => {
      totals.deliveries += receivers
      totals.bytesDelivered += bytes * receivers
      if (kind === 'broadcast') {
        totals.broadcasts++
        broadcastSizes.observe(bytes)
      } else {
        totals.presenceEvents++
        presenceSizes.observe(bytes)
      }
    },
    fannedOut: (ms) => fanOut.observe(ms / 1000),
    storedFannedOut: (ms) => stored.observe(ms),
    authorized: (ms) => authorizations.observe(ms / 1000),
    changed: ({ receivers, payload, ms }) => {
      totals.changes++
      if (payload === null) return
      totals.changeDeliveries += receivers
      totals.bytesDelivered += payload.length * receivers
      changeSizes.observe(payload.length)
      changes.observe(ms / 1000)
    },
    feedLag: ({ bytes, ms, faults = 0 }) => {
      totals.feedLagBytes = bytes
      totals.feedFaults = faults
      feedLag.observe(ms / 1000)
    },
    received: (bytes) => {
      totals.framesReceived++
      totals.bytesReceived += bytes
    },
  }
}

function exposeTotals(registry: Registry, totals: Totals, users: () => number): void {
  const { gauge, counter } = readFigures(registry)
  gauge('phoenix_connections_total', 'Open sockets.', () => totals.opened - totals.closed)
  gauge('realtime_connections_global_connected', 'Sockets with at least one channel.', users)
  gauge('tidewire_channels', 'Joined channels.', () => totals.joined - totals.left)
  counter('tidewire_connections_opened_total', 'Sockets opened.', () => totals.opened)
  counter('realtime_channel_global_joins', 'Channels joined.', () => totals.joined)
  counter('realtime_channel_global_events', 'Broadcasts taken and deliveries made.', () => totals.broadcasts + totals.deliveries)
  counter('realtime_channel_global_presence_events', 'Changes of presence that were sent.', () => totals.presenceEvents)
  counter('realtime_channel_global_db_events', 'Row changes times their receivers.', () => totals.changeDeliveries)
  counter('realtime_channel_global_input_bytes', 'Bytes of frames from clients.', () => totals.bytesReceived)
  counter('realtime_channel_global_output_bytes', 'Bytes of payloads to clients.', () => totals.bytesDelivered)
  counter('tidewire_broadcasts_total', 'Broadcasts fanned out.', () => totals.broadcasts)
  counter('tidewire_changes_total', 'Row changes decided about.', () => totals.changes)
  gauge(
    'tidewire_feed_faults',
    'Faults of rows, tables, policies and filters since the start; each is in the log.',
    () => totals.feedFaults,
  )
  gauge('tidewire_feed_lag_bytes', 'Bytes of write-ahead log that are not delivered yet.', () => totals.feedLagBytes)
  counter('tidewire_deliveries_total', 'Broadcasts and presence times their receivers.', () => totals.deliveries)
  counter('tidewire_frames_received_total', 'Frames from clients.', () => totals.framesReceived)
}

function exposeSlots(registry: Registry, read: () => Promise<readonly SlotSize[]>): void {
  const gauge = new Gauge({
    name: 'tidewire_slot_retained_bytes',
    help: 'Bytes of write-ahead log that Postgres keeps for a slot of Tidewire.',
    labelNames: ['slot', 'node'],
    registers: [],
    async collect() {
      this.reset()
      for (const { name, node, retainedBytes } of await read()) this.set({ slot: name, ...(node && { node }) }, retainedBytes)
    },
  })
  registry.registerMetric(gauge)
}
