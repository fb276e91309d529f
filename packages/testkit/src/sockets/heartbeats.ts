import { WebSocket } from 'ws'

const EVERY_MS = 5_000
const FRAME = JSON.stringify([null, 'heartbeat', 'phoenix', 'heartbeat', {}])

/** Sends heartbeats in vsn 2.0.0 until the socket closes, as every client does: a server closes a socket from which nothing comes for a minute. */
export function sendHeartbeats(socket: WebSocket): void {
  const beating = setInterval(() => {
    if (socket.readyState === WebSocket.OPEN) socket.send(FRAME)
  }, EVERY_MS)
  socket.once('close', () => clearInterval(beating))
}
