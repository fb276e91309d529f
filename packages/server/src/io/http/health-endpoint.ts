import type { Handler } from 'hono'
import type { FeedProgress } from '../../ports.ts'

export interface HealthDeps {
  /** Whether the server is about to stop. */
  readonly draining: () => boolean
  /** The progress of the change feed; `null`: there is none. */
  readonly feedProgress: () => FeedProgress | null
  /** Whether the relay is configured and down. */
  readonly isCutOff: () => boolean
  /** A sentence when another process behind the same port does not serve. */
  readonly trouble?: (() => string | null) | undefined
}

const CUT_OFF = 'there is no way to the other nodes'

/**
 * For load balancers: no token, no database, no limit. Answers 503 once the server drains, and 200 with the reason where a part
 * does less than it should, or another process of the same port does not serve (rule H5): those that do would go out of service with
 * it. With `?ready` it also answers 503 while the changes of the last while are being read, and when this node's row changes are
 * stuck: another node would do better.
 */
export function healthEndpoint({ draining, feedProgress, isCutOff, trouble }: HealthDeps): Handler {
  return (c) => {
    if (draining()) return c.text('draining', 503)
    const progress = feedProgress()
    if (c.req.query('ready') !== undefined && progress?.unready) return c.text(`not ready: ${progress.unready}`, 503)
    const degraded = trouble?.() ?? progress?.degraded ?? (isCutOff() ? CUT_OFF : null)
    return c.text(degraded === null ? 'ok' : `degraded: ${degraded}`)
  }
}

/** For clients: whether the API is there. */
export const pingEndpoint: Handler = (c) => c.json({ message: 'Success' })
