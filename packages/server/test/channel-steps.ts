import type { Message } from '@tidewire/protocol'
import type { NodeInProcess, SocketInProcess } from '@tidewire/testkit'
import type { Authorization, Authorizer } from '../src/ports.ts'

export const room = 'realtime:room'
export const reply = (messages: readonly Message[], ref: string): unknown =>
  messages.find((m) => m.event === 'phx_reply' && m.ref === ref)?.payload
export const events = (messages: readonly Message[]): string[] => messages.map(({ event }) => event)

/** An authorizer whose answers are given by the test, one question at a time. */
export class Gate implements Authorizer {
  readonly asked: { readonly kind: 'read' | 'write'; readonly answer: (authorization: Authorization) => void }[] = []

  read(): Promise<Authorization> {
    return new Promise((answer) => this.asked.push({ kind: 'read', answer }))
  }

  write(): Promise<Authorization> {
    return new Promise((answer) => this.asked.push({ kind: 'write', answer }))
  }
}

export const allow: Authorization = { ok: true, broadcast: true, presence: true }
export const deny: Authorization = { ok: true, broadcast: false, presence: false }

export const say = (socket: SocketInProcess, n: number, topic = room): void =>
  socket.send({ topic, event: 'broadcast', ref: `b${n}`, joinRef: '1', payload: { type: 'broadcast', event: 'say', payload: { n } } })

/** Sends a join of a private channel with acknowledgements, up to its first question to the policies. */
export async function joinPrivate(node: NodeInProcess, socket: SocketInProcess): Promise<void> {
  socket.send({
    topic: room,
    event: 'phx_join',
    ref: '1',
    joinRef: '1',
    payload: { config: { private: true, broadcast: { ack: true } } },
  })
  await node.settle()
}
