import { once } from 'node:events'
import { WebSocket } from 'ws'

const STEP_MS = 100
/** A server sends an inspector at most twenty rows of messages and twenty others in each step; more of the first are skipped. */
const BROADCASTS = 30
const JOINS = 10

/** Keeps the log as busy as a server lets it be: about 400 rows/s. Returns its end. */
export async function startLoad(url: string, key: string): Promise<() => void> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/socket/websocket?vsn=2.0.0&apikey=${key}`)
  await once(socket, 'open')
  socket.resume()
  let ref = 0
  const send = (joinRef: number, topic: string, event: string, payload: object): void =>
    socket.send(JSON.stringify([String(joinRef), String(++ref), `realtime:${topic}`, event, payload]))
  send(1, 'room', 'phx_join', {})
  const timer = setInterval(() => {
    for (let at = 0; at < BROADCASTS; at++)
      send(1, 'room', 'broadcast', {
        type: 'broadcast',
        event: 'cursor',
        payload: { x: at / 7, y: ref, name: 'Ada', text: 'x'.repeat(100) },
      })
    for (let at = 0; at < JOINS; at++) {
      const joinRef = ref + 1
      send(joinRef, `side:${at}`, 'phx_join', {})
      send(joinRef, `side:${at}`, 'phx_leave', {})
    }
  }, STEP_MS)
  return () => {
    clearInterval(timer)
    socket.terminate()
  }
}
