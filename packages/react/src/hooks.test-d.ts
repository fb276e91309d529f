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

declare function is<Expected>(value: Expected): void

export function Typed(): void {
  const channel = useChannel<Events, Meta, Database>('room')

  const move = useBroadcast(channel, 'move', ({ event, payload }) => {
    is<'move'>(event)
    is<number>(payload.x)
    // @ts-expect-error: no such key
    is(payload.z)
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
    if (message.event === 'say') is<string>(message.payload)
  })

  const { members, track } = usePresence(channel, { initial: { name: 'Ada' } })
  is<readonly Member<Meta>[]>(members)
  // @ts-expect-error: not what is tracked here
  void track({ age: 36 })
  // @ts-expect-error: not what is tracked here
  usePresence(channel, { initial: {} })

  usePostgresChanges(channel, 'INSERT', { schema: 'public', table: 'todos', select: ['title'] }, (change) => {
    is<'INSERT'>(change.eventType)
    is<Todo>(change.new)
  })
  usePostgresChanges(channel, '*', { schema: 'public', table: 'todos', filter: (where) => where.eq('id', 1) }, (change) => {
    if (change.eventType === 'DELETE') is<number | undefined>(change.old.id)
  })
  // @ts-expect-error: no such table
  usePostgresChanges(channel, '*', { schema: 'public', table: 'notes' }, () => {})
  // @ts-expect-error: no such column
  usePostgresChanges(channel, '*', { schema: 'public', table: 'todos', select: ['name'] }, () => {})

  is<RealtimeClient<Database>>(useRealtime<Database>())
}

export function Untyped(): void {
  const channel = useChannel('room', { config: { private: true } })
  const send = useBroadcast(channel, 'anything', ({ payload }) => is<string>(payload.text))
  void send({ text: 'hello' })
  usePostgresChanges(channel, 'UPDATE', { schema: 'public', table: 'todos' }, (change) => is<string>(change.new['title']))
  void usePresence(channel).track({ name: 'Ada' })
}

export function provided(typed: RealtimeClient<Database>, untyped: RealtimeClient): RealtimeProviderProps[] {
  // @ts-expect-error: a URL needs options
  const incomplete: RealtimeProviderProps = { url: 'wss://example.com/realtime/v1' }
  return [{ client: typed }, { client: untyped }, { url: 'wss://example.com/realtime/v1', options: { apikey: 'key' } }, incomplete]
}
