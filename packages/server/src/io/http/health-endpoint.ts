import type { Handler } from 'hono'
import type { FeedProgress } from '../../ports.ts'

export interface HealthDeps {
  /** Whether the server is about to stop. */
  readonly draining: () => boolean
  /** How far the row changes are; `null`: there are none. */
  readonly feedProgress: () => FeedProgress | null
}

/**
 * For load balancers: no token, no database, no limit. Answers 503 once the server drains. With `?ready` it also answers
 * 503 until a client that resumes here finds the changes of the last while, and says what makes the server degraded.
 */
export function healthEndpoint({ draining, feedProgress }: HealthDeps): Handler {
  return (c) => {
    if (draining()) return c.text('draining', 503)
    const progress = c.req.query('ready') === undefined ? null : feedProgress()
    if (progress?.unready) return c.text(`not ready: ${progress.unready}`, 503)
    return c.text(progress?.degraded ? `degraded: ${progress.degraded}` : 'ok')
  }
}

/** For clients: whether the API is there. */
export const pingEndpoint: Handler = (c) => c.json({ message: 'Success' })
