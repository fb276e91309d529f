/** Where the WebSocket is opened: the endpoint with `/websocket` and the query. */
export function socketUrl(endpoint: string, params: { readonly [key: string]: unknown }): string {
  return withQuery(endpoint, queryOf(params))
}

export function withQuery(url: string, query: string): string {
  return query === '' ? url : `${url}${url.includes('?') ? '&' : '?'}${query}`
}

/** Where broadcasts are posted: the same place over HTTP, without the socket's own path. Throws a TypeError on no URL. */
export function broadcastUrl(endpoint: string): string {
  // The `URL` of React Native has `href` and nothing else.
  const parts = /^(https?:\/\/[^/?#]+)([^?#]*)([^]*)$/i.exec(new URL(endpoint.replace(/^ws/i, 'http')).href)
  if (parts === null) throw new TypeError(`${endpoint} has no host`)
  const path = parts[2]!.replace(/\/+$/, '').replace(/(\/socket\/websocket|\/socket|\/websocket)$/, '')
  return `${parts[1]!}${path}/api/broadcast${parts[3]!}`
}

/** `a=1&b[c]=2`, encoded. */
function queryOf(params: { readonly [key: string]: unknown }, parent?: string): string {
  return Object.entries(params)
    .map(([key, value]) => {
      const name = parent === undefined ? key : `${parent}[${key}]`
      if (typeof value === 'object' && value !== null) return queryOf(value as { readonly [key: string]: unknown }, name)
      return value === null ? '' : `${encodeURIComponent(name)}=${encodeURIComponent(value as string)}`
    })
    .filter((pair) => pair !== '')
    .join('&')
}

/** A URL for messages and logs: without the user and password that it may have, and without the query, which holds the API key. */
export function addressOf(url: unknown): string {
  return String(url).replace(/[^/]*@|\?[^]*/g, '')
}
