/** The least that publishing over HTTP can cost on Node: `JSON.parse`, and `ws.send` to each subscriber. It checks no token. */
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer, type WebSocket } from 'ws'
import { serve } from './serve.ts'

interface Message {
  readonly topic: string
  readonly event: string
  readonly payload: unknown
}

await serve(async () => {
  const topics = new Map<string, Set<WebSocket>>()
  const http = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      for (const message of messagesOf(request, Buffer.concat(chunks).toString())) publish(message)
      response.writeHead(202, { 'content-length': 0 }).end()
    })
  })
  const publish = ({ topic, event, payload }: Message): void => {
    const frame = JSON.stringify([null, null, `realtime:${topic}`, 'broadcast', { event, payload, type: 'broadcast' }])
    for (const subscriber of topics.get(`realtime:${topic}`) ?? []) subscriber.send(frame)
  }
  const sockets = new WebSocketServer({ server: http, perMessageDeflate: false })
  sockets.on('connection', (socket) => {
    socket.on('message', (data: Buffer) => {
      const [joinRef, ref, topic] = JSON.parse(data.toString()) as [string, string, string]
      topics.set(topic, (topics.get(topic) ?? new Set()).add(socket))
      socket.on('close', () => topics.get(topic)?.delete(socket))
      socket.send(JSON.stringify([joinRef, ref, topic, 'phx_reply', { status: 'ok', response: {} }]))
    })
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  return {
    port: (http.address() as AddressInfo).port,
    stop: () => {
      for (const client of sockets.clients) client.terminate()
      http.closeAllConnections()
      return new Promise((resolve) => http.close(resolve))
    },
  }
})

function messagesOf(request: IncomingMessage, body: string): readonly Message[] {
  const [, topic, event] = /^\/api\/broadcast\/([^/]+)\/events\/([^/]+)$/.exec(request.url ?? '') ?? []
  const value = JSON.parse(body) as { readonly messages: readonly Message[] }
  return topic === undefined || event === undefined ? value.messages : [{ topic, event, payload: value }]
}
