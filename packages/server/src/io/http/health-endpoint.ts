import type { Handler } from 'hono'
import type { FeedProgress } from '../../ports.ts'

export interface HealthDeps {
  /** Whether the server is about to stop. */
  readonly draining: () => boolean
  /** How far the row changes are; `null`: there are none. */
  readonly feedProgress: () => FeedProgress | null
  /** Whether there should be a way to other nodes and is none. */
  readonly isCutOff: () => boolean
  /** A sentence when another process behind the same port does not serve. */
  readonly trouble?: (() => string | null) | undefined
}

const CUT_OFF = 'there is no way to the other nodes'

/**
 * For load balancers: no token, no database, no limit. Answers 503 once the server drains, and names other processes of the same
 * port that do not serve, with 200: those that do would go out of service with them. With `?ready` it also answers
 * 503 until a client that resumes here finds the changes of the last while, and says what makes the server degraded.
 */
export function healthEndpoint({ draining, feedProgress, isCutOff, trouble }: HealthDeps): Handler {
  return (c) => {
    if (draining()) return c.text('draining', 503)
    const sentence = trouble?.() ?? null
    if (c.req.query('ready') === undefined) return c.text(sentence === null ? 'ok' : `degraded: ${sentence}`)
    const progress = feedProgress()
    if (progress?.unready) return c.text(`not ready: ${progress.unready}`, 503)
    const degraded = sentence ?? progress?.degraded ?? (isCutOff() ? CUT_OFF : null)
    return c.text(degraded === null ? 'ok' : `degraded: ${degraded}`)
  }
}

/** For clients: whether the API is there. */
export const pingEndpoint: Handler = (c) => c.json({ message: 'Success' })
