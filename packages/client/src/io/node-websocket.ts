import { RealtimeError } from '@tidewire/protocol'
import type { WebSocketLikeConstructor } from '../runtime.ts'

/** The WebSocket of the package `ws`, for a platform without one of its own (Node before 22). Bundles for browsers leave this file out. */
export async function loadWebSocket(): Promise<WebSocketLikeConstructor> {
  try {
    const { WebSocket } = (await import('ws')) as unknown as { readonly WebSocket: WebSocketLikeConstructor }
    return WebSocket
  } catch (cause) {
    throw new RealtimeError(
      'no-transport',
      'This platform has no WebSocket. Install the package "ws", use Node 22, or give the option `transport`.',
      {
        cause,
      },
    )
  }
}
