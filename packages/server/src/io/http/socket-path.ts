import { parseVersion } from '@tidewire/protocol'
import type { Context, Handler, MiddlewareHandler } from 'hono'

/** The answer that an upgrade with this key would get; `null`: it would be accepted. */
export type UpgradeCheck = (
  apiKey: string,
  headers: Readonly<Record<string, string>>,
) => Promise<{ readonly status: number; readonly text: string } | null>

/**
 * The socket's path without an upgrade. Browsers do not show pages the answer to a failed handshake, so a page that asks here
 * with its key gets the status that its handshake had (rule H7).
 */
export function socketPath(check: UpgradeCheck): Handler {
  return async (c: Context) => {
    const key = c.req.header('x-api-key') ?? c.req.query('apikey')
    if (c.req.method === 'GET' && key !== undefined) {
      if (parseVersion(c.req.query('vsn') ?? null) === null) return c.body(null, 403, FOR_PAGES)
      const refusal = await check(key, c.req.header())
      if (refusal !== null) return c.json({ error: refusal.text }, refusal.status as 401, FOR_PAGES)
    }
    return c.text('This path takes WebSockets: the request must ask for an upgrade', 400, FOR_PAGES)
  }
}

/** Lets a page see that a path does not exist; else it could not distinguish this from a server that does not answer (rule H7). */
export const visibleNotFound: MiddlewareHandler = async (c, next) => {
  await next()
  if (c.res.status === 404) c.res.headers.set('access-control-allow-origin', '*')
}

const FOR_PAGES = { 'access-control-allow-origin': '*' }
