import type { Handler } from 'hono'

/**
 * For load balancers and probes: no token, no database, no limit. 503 once the server is about to stop. What is wrong and does not
 * keep it from serving is named with 200: taking a server that works out of service would help no client.
 */
export function healthEndpoint(draining: () => boolean, trouble: () => string | null): Handler {
  return (c) => {
    if (draining()) return c.text('draining', 503)
    const sentence = trouble()
    return c.text(sentence === null ? 'ok' : `degraded: ${sentence}`)
  }
}

/** For clients: whether the API is there. */
export const pingEndpoint: Handler = (c) => c.json({ message: 'Success' })
