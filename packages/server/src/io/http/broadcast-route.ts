/** A request of the broadcast API, as its path and query name it. */
export type BroadcastRoute =
  | { readonly kind: 'batch' }
  | { readonly kind: 'single'; readonly subTopic: string; readonly event: string; readonly query: URLSearchParams }

const PATH = /^(?:\/realtime\/v1)?\/api\/broadcast(?:\/([^/?#]+)\/events\/([^/?#]+))?(?:\?([^#]*))?(?:#|$)/

/** The route of a request target; `null` when it is another path (rules H2, H3). */
export function broadcastRoute(target: string): BroadcastRoute | null {
  // A proxy may name the whole URL.
  const path = target.startsWith('/') ? target : target.replace(/^[a-z]+:\/\/[^/]*/i, '')
  const match = PATH.exec(path)
  if (match === null) return null
  const [, topic, event, query] = match
  if (topic === undefined || event === undefined) return { kind: 'batch' }
  return { kind: 'single', subTopic: decoded(topic), event: decoded(event), query: new URLSearchParams(query) }
}

/** An escape that is none stands for itself. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
