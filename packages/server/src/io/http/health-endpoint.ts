import type { Handler } from 'hono'

/** For load balancers: no token, no database, no limit. Says 503 once the server drains, so that no new client is sent. */
export function healthEndpoint(draining: () => boolean): Handler {
  return (c) => (draining() ? c.text('draining', 503) : c.text('ok'))
}

/** For clients: whether the API is there. */
export const pingEndpoint: Handler = (c) => c.json({ message: 'Success' })
