/** What the hooks' types must let through, and what they must not. Checked by the compiler; never run. */
import type { RealtimeClient } from '@tidewire/client'
import { useBroadcast, useChannel, usePostgresChanges, usePresence, useRealtime, type Member, type RealtimeProviderProps } from './index.ts'

interface Todo {
  id: number
  title: string
}
interface Database {
  public: { Tables: { todos: { Row: Todo } } }
}
interface Events {
  move: { x: number; y: number }
  say: string
}
interface Meta {
  name: string
}

export function Typed(): void {
  const channel = useChannel<Events, Meta, Database>('room')

  const move = useBroadcast(channel, 'move', ({ event, payload }) => {
    void (event satisfies 'move')
    void (payload.x satisfies number)
    // @ts-expect-error: no such key
    void payload.z
  })
  void move({ x: 1, y: 2 })
  // @ts-expect-error: y is missing
  void move({ x: 1 })
  // @ts-expect-error: no such event
  useBroadcast(channel, 'jump', () => {})
  void channel.send('say', 'hello')
  // @ts-expect-error: not the payload of this event
  void channel.send('say', { x: 1, y: 2 })
  useBroadcast(channel, '*', (message) => {
    if (message.event === 'say') void (message.payload satisfies string)
  })

  const { members, track } = usePresence(channel, { initial: { name: 'Ada' } })
  void (members satisfies readonly Member<Meta>[])
  // @ts-expect-error: not what is tracked here
  void track({ age: 36 })
  // @ts-expect-error: not what is tracked here
  usePresence(channel, { initial: {} })

  usePostgresChanges(channel, 'INSERT', { schema: 'public', table: 'todos', select: ['title'] }, (change) => {
    void (change.eventType satisfies 'INSERT')
    void (change.new satisfies Todo)
  })
  usePostgresChanges(channel, '*', { schema: 'public', table: 'todos', filter: (where) => where.eq('id', 1) }, (change) => {
    if (change.eventType === 'DELETE') void (change.old.id satisfies number | undefined)
  })
  // @ts-expect-error: no such table
  usePostgresChanges(channel, '*', { schema: 'public', table: 'notes' }, () => {})
  // @ts-expect-error: no such column
  usePostgresChanges(channel, '*', { schema: 'public', table: 'todos', select: ['name'] }, () => {})

  void (useRealtime<Database>() satisfies RealtimeClient<Database>)
}

export function Untyped(): void {
  const channel = useChannel('room', { config: { private: true } })
  const send = useBroadcast(channel, 'anything', ({ payload }) => void (payload.text satisfies string))
  void send({ text: 'hello' })
  usePostgresChanges(channel, 'UPDATE', { schema: 'public', table: 'todos' }, (change) => void (change.new['title'] satisfies string))
  void usePresence(channel).track({ name: 'Ada' })
}

export function provided(typed: RealtimeClient<Database>, untyped: RealtimeClient): RealtimeProviderProps[] {
  // @ts-expect-error: a URL needs options
  const incomplete: RealtimeProviderProps = { url: 'wss://example.com/realtime/v1' }
  return [{ client: typed }, { client: untyped }, { url: 'wss://example.com/realtime/v1', options: { apikey: 'key' } }, incomplete]
}
