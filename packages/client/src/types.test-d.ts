/** Checked by the compiler alone. */
import {
  postgresChangesFilter,
  RealtimeClient,
  type REALTIME_SUBSCRIBE_STATES,
  type RealtimePostgresChangesPayload,
  type Schema,
} from './index.ts'

// `any` equals nothing but itself.
type IsAny<T> = 0 extends 1 & T ? true : false
type Equal<A, B> = [IsAny<A>, A, B] extends [IsAny<B>, B, A] ? true : false
function same<A, B>(_: Equal<A, B>): void {}

interface Database {
  __InternalSupabase: { PostgrestVersion: '13' }
  public: {
    Tables: {
      todos: { Row: { id: number; title: string; done: boolean | null }; Insert: object; Update: object; Relationships: [] }
      users: { Row: { name: string }; Insert: object; Update: object; Relationships: [] }
    }
    Views: object
    Functions: object
    Enums: object
    CompositeTypes: object
  }
}
type Events = { move: { x: number }; text: string }
type Todo = Database['public']['Tables']['todos']['Row']

const client = new RealtimeClient<Database>('ws://localhost', { apikey: 'k' })

// Rows, columns and operators come from the database.
client.channel('db').on('postgres_changes', { event: 'INSERT', schema: 'public', table: 'todos' }, (change) => {
  same<typeof change.new, Todo>(true)
  same<typeof change.old, {}>(true)
  same<typeof change.eventType, 'INSERT'>(true)
})
client.channel('db').onPostgresChanges('*', { schema: 'public', table: 'todos', select: ['id'] }, (change) => {
  same<typeof change, RealtimePostgresChangesPayload<Todo>>(true)
})
client
  .channel('db')
  .onPostgresChanges(
    'UPDATE',
    { schema: 'public', table: 'todos', filter: (where) => where.eq('id', 1).like('title', 'a%') },
    ({ old }) => {
      same<typeof old, Partial<Todo>>(true)
    },
  )
// @ts-expect-error: there is no such table
client.channel('db').onPostgresChanges('*', { schema: 'public', table: 'nope' }, () => {})
// @ts-expect-error: there is no such schema
client.channel('db').onPostgresChanges('*', { schema: '__InternalSupabase' }, () => {})
// @ts-expect-error: there is no such column
client.channel('db').onPostgresChanges('*', { schema: 'public', table: 'todos', select: ['nope'] }, () => {})
// @ts-expect-error: a number is not compared with text
client.channel('db').onPostgresChanges('*', { schema: 'public', table: 'todos', filter: (where) => where.eq('id', 'one') }, () => {})
// @ts-expect-error: patterns are for text
client.channel('db').onPostgresChanges('*', { schema: 'public', table: 'todos', filter: (where) => where.like('id', '1%') }, () => {})
postgresChangesFilter<Todo>().in('id', [1, 2]).is('done', null).not('title', 'in', ['a'])
// @ts-expect-error: there is no such column
postgresChangesFilter<Todo>().eq('nope', 1)

// Events are described once.
const room = client.channel<Events, { name: string }>('room')
room.on('broadcast', { event: 'move' }, (message) => same<typeof message.payload, { x: number }>(true))
room.onBroadcast('text', (message) => same<typeof message.payload, string>(true))
room.on('broadcast', { event: '*' }, (message) => {
  if (message.event === 'move') same<typeof message.payload, { x: number }>(true)
})
void room.sendBroadcast('move', { x: 1 })
// @ts-expect-error: a wrong payload
void room.sendBroadcast('move', { y: 1 })
// @ts-expect-error: an unknown event
void room.sendBroadcast('fly', {})
void room.sendWithAck('text', 'hello').then((result) => (result.ok ? result.response : result.error.code))
void (async () => {
  for await (const message of room.broadcasts('move')) same<typeof message.payload.x, number>(true)
  for await (const change of client.channel('db').changesOf('DELETE', { schema: 'public', table: 'users' }))
    same<typeof change.old, Partial<{ name: string }>>(true)
})()
void room.track({ name: 'me' })
// @ts-expect-error: not what presences are here
void room.track({ nick: 'me' })
room.onPresenceJoin((_, __, [who]) => same<string | undefined, NonNullable<typeof who>['name'] | undefined>(true))
room.on('presence', { event: '*' }, ({ event }) => same<typeof event, 'sync' | 'join' | 'leave'>(true))
room.onSystem((payload) => same<typeof payload.message, string>(true))

// Programs for realtime-js compile as they are.
const loose = new RealtimeClient('ws://localhost', { params: { apikey: 'k' } })
const channel = loose.channel('room', { config: { broadcast: { self: true } } })
channel.on('broadcast', { event: 'x' }, (payload) => payload.payload.anything.at.all)
channel.on('postgres_changes', { event: '*', schema: 'public', table: 'todos', filter: 'id=eq.1' }, (payload) => payload.new)
channel.on<{ id: number }>('postgres_changes', { event: 'INSERT', schema: 'public' }, (payload) => payload.new.id)
channel.on('presence', { event: 'join' }, ({ key, newPresences }) => [key, newPresences[0]?.['anything']])
channel.on('presence', { event: 'sync' }, () => channel.presenceState<{ user: string }>()['key']?.[0]?.user)
channel.on('system', {}, (payload) => payload.message)
channel.subscribe((status: REALTIME_SUBSCRIBE_STATES, error?: Error) => [status === 'SUBSCRIBED', error?.message])
void channel.send({ type: 'broadcast', event: 'x', payload: { any: 1 } }).then((response) => response === 'ok')
void channel.track({ user: 1, online_at: '' })

// Validators describe events, too.
declare const shape: Schema<{ x: number }>
const checked = client.channel('room', { config: {}, schemas: { move: shape } })
checked.onBroadcast('move', ({ payload }) => same<typeof payload, { x: number }>(true))
// @ts-expect-error: not what the validator lets through
void checked.sendBroadcast('move', { x: '1' })
