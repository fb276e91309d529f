/**
 * The least that can be between two sockets on two nodes: frames of a socket go to the other sockets here, and with the bare
 * client of NATS to the other processes. Nothing is parsed, checked or counted.
 */
import type { AddressInfo, Socket } from 'node:net'
import { connect } from '@nats-io/transport-node'
import { WebSocket, WebSocketServer } from 'ws'
import { BARE_SUBJECT, bareOptions } from '../cluster/bare.ts'
import { serve } from './serve.ts'

await serve(async () => {
  const url = process.env['BENCH_NATS'] ?? ''
  const nats = url === '' ? null : await connect(bareOptions(url))
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false })
  const members = new Map<WebSocket, Socket>()
  let received = 0

  const deliver = (data: Uint8Array, sender: WebSocket | null): void => {
    for (const [member, tcp] of members) {
      if (member === sender || member.readyState !== WebSocket.OPEN) continue
      if (tcp.writableCorked === 0) {
        // What comes in one turn is one write.
        tcp.cork()
        process.nextTick(() => tcp.uncork())
      }
      member.send(data, { binary: false })
    }
  }
  server.on('connection', (socket, { socket: tcp }) => {
    // The first frame joins; its sender waits for an answer.
    socket.once('message', (join: Buffer) => {
      members.set(socket, tcp)
      socket.send(join, { binary: false })
      socket.on('message', (data: Buffer) => {
        deliver(data, socket)
        nats?.publish(BARE_SUBJECT, data)
      })
    })
    socket.on('close', () => members.delete(socket))
  })
  nats?.subscribe(BARE_SUBJECT, {
    callback: (_error, { data }) => {
      received++
      deliver(data, null)
    },
  })
  await new Promise((resolve) => server.once('listening', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      for (const client of server.clients) client.terminate()
      await nats?.close()
      await new Promise((resolve) => server.close(resolve))
    },
    deliveries: () => received,
  }
})
