import { once } from 'node:events'
import { WebSocket } from 'ws'

const CHUNK = 2_000
const MAX_BUFFERED_BYTES = 1_000_000

/** So many broadcasts to the topic `burst`, sent as fast as the server reads; resolves when it has taken the last one. */
export async function sendBurst(url: string, key: string, messages: number): Promise<void> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/socket/websocket?vsn=2.0.0&apikey=${key}`)
  await once(socket, 'open')
  const replied = (ref: string): Promise<void> =>
    new Promise((resolve, reject) => {
      socket.on('close', (code) => reject(new Error(`the server closed the burst with ${code}`)))
      socket.on('message', (data: Buffer) => {
        const [, of, , event] = JSON.parse(data.toString()) as [unknown, unknown, unknown, unknown]
        if (of === ref && event === 'phx_reply') resolve()
      })
    })
  const joined = replied('join')
  socket.send(JSON.stringify(['1', 'join', 'realtime:burst', 'phx_join', { config: { broadcast: { ack: true } } }]))
  await joined
  const last = replied('last')
  for (let sent = 0; sent < messages;) {
    for (const end = Math.min(messages, sent + CHUNK); sent < end; sent++) {
      const payload = { type: 'broadcast', event: 'n', payload: { n: sent, text: 'x'.repeat(100) } }
      socket.send(JSON.stringify(['1', sent === messages - 1 ? 'last' : null, 'realtime:burst', 'broadcast', payload]))
    }
    do await new Promise((resolve) => void setImmediate(resolve))
    while (socket.bufferedAmount > MAX_BUFFERED_BYTES && socket.readyState === WebSocket.OPEN)
  }
  await last
  socket.removeAllListeners('close')
  socket.terminate()
}
