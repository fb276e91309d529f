import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Observer } from '../../ports.ts'
import { refuseUpgrade, type WebSocketListener } from '../websocket/websocket-listener.ts'

/** Whether a request with this `Host` header is meant for this server. */
export type HostRule = (host: string | undefined) => boolean

export type RequestListener = (request: IncomingMessage, response: ServerResponse) => void

const REFUSAL = 'This server is not known by that host name'

/** Answers requests and upgrades for other hosts with 403, before anything else looks at them. */
export function guardHost(
  rule: HostRule,
  observer: Pick<Observer, 'decision'>,
  onRequest: RequestListener,
  webSockets: WebSocketListener,
): { readonly onRequest: RequestListener; readonly webSockets: WebSocketListener } {
  const isForeign = ({ headers: { host } }: IncomingMessage, kind: 'http-refused' | 'upgrade-refused'): boolean => {
    if (rule(host)) return false
    observer.decision({ kind, code: 'foreign-host', detail: `the request names the host ${JSON.stringify(host ?? '')}` })
    return true
  }
  return {
    onRequest: (request, response) => {
      if (!isForeign(request, 'http-refused')) return onRequest(request, response)
      response.writeHead(403, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' }).end(`${REFUSAL}.\n`)
    },
    webSockets: {
      upgrade: (request, socket, head) => {
        if (!isForeign(request, 'upgrade-refused')) return webSockets.upgrade(request, socket, head)
        socket.on('error', () => {})
        refuseUpgrade(socket, 403, REFUSAL)
      },
    },
  }
}
