import type { MiddlewareHandler } from 'hono'
import { cors as honoCors } from 'hono/cors'

const ALLOWED_HEADERS = ['apikey', 'authorization', 'content-type', 'x-client-info']

const EXPOSED = ['x-rate-limit', 'x-rate-limit-remaining', 'x-rate-rolling']

/** Headers of answers that are no preflight. */
export const CORS: Readonly<Record<string, string>> = {
  'access-control-allow-origin': '*',
  'access-control-expose-headers': EXPOSED.join(','),
}

const OPTIONS = {
  origin: '*',
  allowMethods: ['GET', 'HEAD', 'POST', 'OPTIONS'],
  exposeHeaders: EXPOSED,
  maxAge: 86_400,
}

/**
 * Lets pages of any origin call (rule H4). Permission comes from tokens, which no browser adds by itself, so every
 * header that a page asks for is allowed: policies may read them.
 */
export function cors(): MiddlewareHandler {
  const answer = honoCors({ ...OPTIONS, allowHeaders: ALLOWED_HEADERS })
  return (c, next) => {
    const asked = c.req.header('access-control-request-headers')
    if (c.req.method !== 'OPTIONS' || asked === undefined) return answer(c, next)
    const names = asked.split(',').map((name) => name.trim().toLowerCase())
    return honoCors({ ...OPTIONS, allowHeaders: [...new Set([...ALLOWED_HEADERS, ...names])] })(c, next)
  }
}
