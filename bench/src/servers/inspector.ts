/** An inspector without a page: joins the admin channel with payloads at "watch", leaves at "unwatch", and says so. */
import { createInterface } from 'node:readline'
import { WebSocket } from 'ws'

const socket = new WebSocket(process.argv[2]!)
const push = (ref: string, event: string, payload: object): void =>
  socket.send(JSON.stringify(['1', ref, 'tidewire:admin', event, payload]))

socket.on('open', () => {
  console.log('open')
  createInterface({ input: process.stdin }).on('line', (line) => {
    if (line === 'unwatch') return push('leave', 'phx_leave', {})
    push('join', 'phx_join', {})
    push('watch', 'admin_watch', { payloads: true, match: '' })
  })
})
socket.on('message', (data: Buffer) => {
  const [, ref, , , payload] = JSON.parse(data.toString()) as [unknown, unknown, unknown, unknown, { readonly status?: string }]
  if (ref === 'join' && payload.status !== 'ok') throw new Error(`the admin channel was refused: ${data.toString()}`)
  if (ref === 'watch') console.log('watching')
  if (ref === 'leave') console.log('gone')
})
socket.on('close', () => process.exit())
