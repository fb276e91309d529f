import { RealtimeError } from '@tidewire/protocol'
import type { WebSocketLikeConstructor } from '../runtime.ts'

/** Stands in for `node-websocket.ts` in bundles for browsers. */
export function loadWebSocket(): Promise<WebSocketLikeConstructor> {
  return Promise.reject(new RealtimeError('no-transport', 'There is no WebSocket: give the option `transport`.'))
}
