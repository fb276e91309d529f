import type { AdminConnection } from '@tidewire/protocol'
import { expect, test } from 'vitest'
import { ConnectionList, nameOf } from './connection-list.ts'

function connection(id: string, more: Partial<AdminConnection> = {}): AdminConnection {
  const base = {
    id,
    role: 'anon',
    claims: {},
    vsn: '2.0.0',
    connectedAt: 1,
    lastHeartbeatAt: null,
    address: null,
    userAgent: null,
    channels: [],
  }
  return { ...base, received: 0, sent: 0, queueBytes: 0, ...more }
}
const closed = { code: 1008, reason: 'too fast', at: 9 }
const ids = (list: readonly AdminConnection[]): string[] => list.map(({ id }) => id)

test('shows the newest first, and follows their figures', () => {
  const list = new ConnectionList()
  list.replace([connection('old'), connection('new', { connectedAt: 2 })], 5)
  expect(ids(list.open.value)).toEqual(['new', 'old'])
  list.change([connection('old', { received: 7 }), connection('newest', { connectedAt: 3 })])
  expect(ids(list.open.value)).toEqual(['newest', 'new', 'old'])
  expect(list.get('old')!.received).toBe(7)
  expect(list.more.value).toBe(5)
})

test('keeps the last fifty that closed, each once', () => {
  const list = new ConnectionList()
  list.replace([connection('a')], 0)
  list.change([connection('a', { closed })])
  list.change([connection('a', { closed })])
  expect(ids(list.open.value)).toEqual([])
  expect(ids(list.closed.value)).toEqual(['a'])
  expect(list.get('a')!.closed).toEqual(closed)
  list.change(Array.from({ length: 60 }, (_, index) => connection(`b${index}`, { closed })))
  expect(list.closed.value).toHaveLength(50)
  expect(list.closed.value[0]!.id).toBe('b59')
})

test('names a connection by its token, by the users of its channels, or by its role', () => {
  const channel = (sub: string | null): AdminConnection['channels'][number] => ({ topic: 't', private: false, role: 'authenticated', sub })
  const named = (more: Partial<AdminConnection>): string => nameOf(connection('a', more))
  expect(named({ role: 'authenticated', claims: { sub: 'u1', email: 'ada@example.org' } })).toBe('ada@example.org')
  expect(named({ role: 'authenticated', claims: { sub: 'u1', email: 5 }, channels: [channel('u2')] })).toBe('u1')
  expect(named({ channels: [channel(null), channel('u2'), channel('u3')] })).toBe('u2')
  expect(named({ channels: [channel(null)] })).toBe('anon')
  expect(named({ role: null })).toBe('unreadable token')
})
