import { Gauge, type Registry } from 'prom-client'
import type { ChangeFeed, FeedProgress } from '../../ports.ts'

/** How far back clients can resume at this node, and whether it does what they expect. */
export function exposeWindow(registry: Registry, feed: Pick<ChangeFeed, 'progress'>): void {
  const gauge = (name: string, help: string, read: (progress: FeedProgress) => number): void => {
    const metric: Gauge = new Gauge({
      name,
      help,
      registers: [],
      collect() {
        const progress = feed.progress?.()
        if (progress !== undefined) metric.set(read(progress))
      },
    })
    registry.registerMetric(metric)
  }
  gauge(
    'tidewire_feed_window_seconds',
    'Age of the oldest row change that a client can resume from.',
    ({ windowMs = 0 }) => windowMs / 1_000,
  )
  gauge('tidewire_feed_window_bytes', 'Bytes of row changes kept to be resumed from.', ({ windowBytes = 0 }) => windowBytes)
  gauge('tidewire_feed_ready', '1 when the changes of the last while are here, as /healthcheck?ready says.', ({ unready }) =>
    unready ? 0 : 1,
  )
  gauge(
    'tidewire_degraded',
    '1 when a part of the row changes makes no progress, or other servers read the same database without a relay; /healthcheck says which.',
    ({ degraded }) => (degraded ? 1 : 0),
  )
}
