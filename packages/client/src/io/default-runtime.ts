import { RealtimeError } from '@tidewire/protocol'
import type { Runtime, WebSocketLikeConstructor } from '../runtime.ts'
import { http } from './http.ts'
import { loadWebSocket } from './node-websocket.ts'
import { watchPageLifecycle } from './page-lifecycle.ts'
import { workerTimers } from './worker-timers.ts'

/** The platform that the program runs on: browser, worker, Node, Deno, Bun. */
export const defaultRuntime: Runtime = {
  nowMs: () => Date.now(),
  random: () => Math.random(),
  setTimer(run, afterMs) {
    const timer = setTimeout(run, afterMs)
    return { cancel: () => clearTimeout(timer) }
  },
  webSocket() {
    // React Native had none for long; without it every broadcast would be dropped as malformed.
    if (typeof TextDecoder === 'undefined') throw new RealtimeError('no-transport', 'There is no TextDecoder.')
    return (globalThis as { readonly WebSocket?: WebSocketLikeConstructor }).WebSocket ?? loadWebSocket()
  },
  http,
  report: (error) => console.error(error),
  warn: (message) => console.warn(message),
  watch: watchPageLifecycle,
  workerTimers,
}
