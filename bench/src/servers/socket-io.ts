/** Socket.IO with its rooms, as its documentation has it; WebSocket only, without compression. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Server } from 'socket.io'
import { serve } from './serve.ts'

await serve(async () => {
  const http = createServer()
  const server = new Server(http, { transports: ['websocket'], perMessageDeflate: false, serveClient: false })
  server.on('connection', (socket) => {
    socket.on('join', async (topic: string, done: () => void) => {
      await socket.join(topic)
      done()
    })
    socket.on('publish', (topic: string, message: unknown) => socket.to(topic).emit('b', message))
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  return { port: (http.address() as AddressInfo).port, stop: () => server.close() }
})
