/** The server that one writes first: parse, stringify once, send to each. Speaks just enough of the protocol. */
import type { AddressInfo } from 'node:net'
import { WebSocket, WebSocketServer } from 'ws'
import { serve } from './serve.ts'

await serve(async () => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false })
  const topics = new Map<string, Set<WebSocket>>()
  server.on('connection', (socket) => {
    const joined = new Set<Set<WebSocket>>()
    socket.on('message', (data: Buffer) => {
      const [joinRef, ref, topic, event, payload] = JSON.parse(data.toString()) as [string, string, string, string, unknown]
      if (event === 'phx_join') {
        let subscribers = topics.get(topic)
        if (subscribers === undefined) topics.set(topic, (subscribers = new Set()))
        subscribers.add(socket)
        joined.add(subscribers)
        socket.send(JSON.stringify([joinRef, ref, topic, 'phx_reply', { status: 'ok', response: {} }]))
      } else if (event === 'broadcast') {
        const message = JSON.stringify([null, null, topic, event, payload])
        for (const subscriber of topics.get(topic) ?? [])
          if (subscriber !== socket && subscriber.readyState === WebSocket.OPEN) subscriber.send(message)
      }
    })
    socket.on('close', () => {
      for (const subscribers of joined) subscribers.delete(socket)
    })
  })
  await new Promise((resolve) => server.once('listening', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    stop: () => {
      for (const client of server.clients) client.terminate()
      return new Promise((resolve) => server.close(resolve))
    },
  }
})
