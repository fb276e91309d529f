import { RealtimeError } from '@tidewire/protocol'
import type { WebSocketLikeConstructor } from '../runtime.ts'

/** Stands in for `node-websocket.ts` in bundles for browsers. */
export function loadWebSocket(): Promise<WebSocketLikeConstructor> {
  return Promise.reject(new RealtimeError('no-transport', 'This platform has no WebSocket. Give the option `transport`.'))
}
