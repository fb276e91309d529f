import { RealtimeError } from '@tidewire/protocol'

/** Whether the platform has a WebSocket of its own. The client needs no answer: without one it loads the package `ws`. */
export class WebSocketFactory {
  private constructor() {}

  /** Throws a RealtimeError (`no-transport`) when there is none. */
  static getWebSocketConstructor(): typeof WebSocket {
    if (typeof WebSocket === 'undefined') throw new RealtimeError('no-transport', 'There is no WebSocket.')
    return WebSocket
  }

  static isWebSocketSupported(): boolean {
    return typeof WebSocket !== 'undefined'
  }
}
