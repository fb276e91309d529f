/** An inspector without a page: joins the admin channel, asks for payloads, and says "joined" when it is told what happens. */
import { WebSocket } from 'ws'

const socket = new WebSocket(process.argv[2]!)
const push = (ref: string, event: string, payload: object): void =>
  socket.send(JSON.stringify(['1', ref, 'tidewire:admin', event, payload]))

socket.on('open', () => {
  push('1', 'phx_join', {})
  push('2', 'admin_watch', { payloads: true, match: '' })
})
socket.on('message', (data: Buffer) => {
  const [, ref, , , payload] = JSON.parse(data.toString()) as [unknown, unknown, unknown, unknown, { readonly status?: string }]
  if (ref === '1' && payload.status !== 'ok') throw new Error(`the admin channel was refused: ${data.toString()}`)
  if (ref === '2') console.log('joined')
})
socket.on('close', () => process.exit())
