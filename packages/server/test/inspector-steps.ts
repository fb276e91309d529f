import { ADMIN_ROLE, ADMIN_TOPIC } from '@tidewire/protocol'
import { openToken, openVerifier, type NodeInProcess, type SocketInProcess } from '@tidewire/testkit'
import type { AdminPorts, TokenVerifier } from '../src/ports.ts'

/** Admin keys begin with `admin:`; nothing else is signed with the admin secret. */
export const adminVerifier: TokenVerifier = {
  verify: (token) =>
    token.startsWith('admin:') ? openVerifier.verify(token.slice(6)) : Promise.resolve({ ok: false, fault: { code: 'signature' } }),
}
export const admin: AdminPorts = { verifier: adminVerifier, version: '1.2.3' }
export const KEY = `admin:${openToken({ role: ADMIN_ROLE })}`

export function keyed(claims: Readonly<Record<string, unknown>>, expSeconds?: number): string {
  return `admin:${openToken({ role: ADMIN_ROLE, ...claims }, expSeconds)}`
}

export async function ask(
  node: NodeInProcess,
  socket: SocketInProcess,
  event: string,
  payload: unknown,
): Promise<{ status: string; response: unknown }> {
  const ref = String(Math.random())
  socket.send({ topic: ADMIN_TOPIC, event, ref, joinRef: 'j', payload })
  await node.settle()
  const reply = socket.received.find((message) => message.ref === ref)
  return reply!.payload as { status: string; response: unknown }
}

export function enter(
  node: NodeInProcess,
  socket: SocketInProcess,
  token: string | null = KEY,
): Promise<{ status: string; response: unknown }> {
  return ask(node, socket, 'phx_join', token === null ? {} : { access_token: token })
}

export function received<Payload>(socket: SocketInProcess, event: string): Payload[] {
  return socket.received.filter((message) => message.event === event).map(({ payload }) => payload as Payload)
}

export const push = (socket: SocketInProcess, payload: unknown = 1, topic = 'realtime:room'): void =>
  socket.send({ topic, event: 'broadcast', payload: { type: 'broadcast', event: 'e', payload } })
