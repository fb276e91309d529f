import { RealtimeError } from '@tidewire/protocol'
import type { AnyMessage, EventOf, ListenOptions } from '../channel/channel-options.ts'
import { isSameFilter, plainFilter } from './change-bindings.ts'
import type { RowOf, SchemaOf, TableOf } from './database.ts'
import { iterate, type IterationOptions } from './iteration.ts'
import type { Binding, Listeners } from './listeners.ts'
import type {
  BroadcastMessage,
  ChangeEvent,
  ChangeFilter,
  ChangeOf,
  Presence,
  PresenceEvent,
  PresenceSnapshot,
  RealtimePostgresChangesFilter,
  RealtimePresenceJoinPayload,
  RealtimePresenceLeavePayload,
  RealtimePresenceUpdatePayload,
  RealtimeSystemPayload,
  Rejoin,
  Untyped,
  UntypedRow,
} from './payloads.ts'

/** The channel that is listened on. */
export interface ListenedChannel {
  readonly topic: string
  readonly kind: 'closed' | 'errored' | 'joined' | 'joining'
  readonly joinedOnce: boolean
  readonly listeners: Listeners
  readonly presence: { snapshot(): PresenceSnapshot }
  /** Called when the channel is closed. */
  readonly ends: Set<() => void>
  readonly host: { log(kind: string, text: string, data?: unknown): void; warn(text: string): void }
  subscribe(): void
}

/** The events that there are, in either case; of broadcasts there are any. */
const EVENTS: { readonly [type: string]: RegExp } = {
  presence: /^(sync|join|leave|update|\*)$/i,
  postgres_changes: /^(insert|update|delete|\*)$/i,
}

const FORGOTTEN_CLEANUP = 'Did an effect forget client.removeChannel(channel)?'

/** The half of a channel that listens: to broadcasts, presence, Postgres changes and the channel itself. */
export class ChannelListeners<Events extends object, Database, Meta extends object> {
  readonly #channel: ListenedChannel

  constructor(channel: ListenedChannel) {
    this.#channel = channel
  }

  /** The listeners by type, in the order in which they were added. */
  get bindings(): { readonly [type: string]: readonly Binding[] } {
    return this.#channel.listeners.bindings
  }

  /** Listens. Presence and Postgres changes are part of the join, so they must be asked for before `subscribe`. */
  on<Event extends EventOf<Events>>(
    type: 'broadcast',
    filter: { event: Event },
    callback: (message: BroadcastMessage<Events[Event], Event>) => void,
    options?: ListenOptions,
  ): this
  on(type: 'broadcast', filter: { event: '*' }, callback: (message: AnyMessage<Events>) => void, options?: ListenOptions): this
  on<Payload extends { [key: string]: Untyped }>(
    type: 'broadcast',
    filter: { event: string },
    callback: (message: BroadcastMessage<Payload>) => void,
    options?: ListenOptions,
  ): this
  on(type: 'presence', filter: { event: 'sync' }, callback: () => void, options?: ListenOptions): this
  on<M extends { [key: string]: Untyped } = Meta & UntypedRow>(
    type: 'presence',
    filter: { event: 'join' },
    callback: (event: RealtimePresenceJoinPayload<M>) => void,
    options?: ListenOptions,
  ): this
  on<M extends { [key: string]: Untyped } = Meta & UntypedRow>(
    type: 'presence',
    filter: { event: 'leave' },
    callback: (event: RealtimePresenceLeavePayload<M>) => void,
    options?: ListenOptions,
  ): this
  on<M extends { [key: string]: Untyped } = Meta & UntypedRow>(
    type: 'presence',
    filter: { event: 'update' },
    callback: (event: RealtimePresenceUpdatePayload<M>) => void,
    options?: ListenOptions,
  ): this
  on(
    type: 'presence',
    filter: { event: '*' },
    callback: (event: Exclude<PresenceEvent<Meta>, { event: 'update' }>) => void,
    options?: ListenOptions,
  ): this
  on<Schema extends SchemaOf<Database>, Table extends TableOf<Database, Schema>, Event extends ChangeEvent | '*'>(
    type: 'postgres_changes',
    filter: ChangeFilter<RowOf<Database, Schema, Table>> & { event: Event; schema: Schema; table?: Table },
    callback: (change: ChangeOf<RowOf<Database, Schema, Table>, Event>) => void,
    options?: ListenOptions,
  ): this
  on<Row extends { [key: string]: Untyped }>(
    type: 'postgres_changes',
    filter: RealtimePostgresChangesFilter<'INSERT'>,
    callback: (change: ChangeOf<Row, 'INSERT'>) => void,
    options?: ListenOptions,
  ): this
  on<Row extends { [key: string]: Untyped }>(
    type: 'postgres_changes',
    filter: RealtimePostgresChangesFilter<'UPDATE'>,
    callback: (change: ChangeOf<Row, 'UPDATE'>) => void,
    options?: ListenOptions,
  ): this
  on<Row extends { [key: string]: Untyped }>(
    type: 'postgres_changes',
    filter: RealtimePostgresChangesFilter<'DELETE'>,
    callback: (change: ChangeOf<Row, 'DELETE'>) => void,
    options?: ListenOptions,
  ): this
  on<Row extends { [key: string]: Untyped }>(
    type: 'postgres_changes',
    filter: RealtimePostgresChangesFilter,
    callback: (change: ChangeOf<Row, '*'>) => void,
    options?: ListenOptions,
  ): this
  on(type: 'system', filter: object, callback: (payload: RealtimeSystemPayload) => void, options?: ListenOptions): this
  on(type: string, filter: object, callback: (payload: never) => void, options: ListenOptions = {}): this {
    const { topic, kind, host } = this.#channel
    const wanted = type.toLowerCase()
    if ((wanted === 'presence' || wanted === 'postgres_changes') && (kind === 'joined' || kind === 'joining')) {
      const text = `cannot add \`${wanted}\` callbacks for ${topic} after \`subscribe()\`.`
      host.warn(`${text} ${FORGOTTEN_CLEANUP}`)
      throw new RealtimeError('already-joined', text, { hint: FORGOTTEN_CLEANUP })
    }
    const { event } = filter as { readonly event?: unknown }
    if (EVENTS[wanted]?.test(String(event)) === false)
      throw new RealtimeError('bad-argument', `There is no \`${wanted}\` event ${JSON.stringify(event)}.`)
    return this.#listen(wanted, filter, callback, options)
  }

  /** Removes listeners: those of this callback, or all of the type. */
  off(type: 'broadcast' | 'presence' | 'postgres_changes' | 'system', callback?: (payload: never) => void): this {
    this.#channel.listeners.remove(type, (binding) => callback === undefined || binding.callback === callback)
    return this
  }

  onBroadcast<Event extends EventOf<Events>>(
    event: Event,
    callback: (message: BroadcastMessage<Events[Event], Event>) => void,
    options?: ListenOptions,
  ): this
  onBroadcast(event: '*', callback: (message: AnyMessage<Events>) => void, options?: ListenOptions): this
  onBroadcast(event: string, callback: (message: never) => void, options: ListenOptions = {}): this {
    return this.#listen('broadcast', { event }, callback, options)
  }

  onPresenceSync(callback: () => void, options?: ListenOptions): this {
    return this.on('presence', { event: 'sync' }, () => callback(), options)
  }

  /** `current`: the presences under this key before; `joined`: the new ones. */
  onPresenceJoin(callback: (key: string, current: Presence<Meta>[], joined: Presence<Meta>[]) => void, options?: ListenOptions): this {
    const listener = (event: RealtimePresenceJoinPayload<Meta>): void => callback(event.key, event.currentPresences, event.newPresences)
    return this.on('presence', { event: 'join' }, listener as (event: RealtimePresenceJoinPayload<Untyped>) => void, options)
  }

  /** `current`: the remaining presences under this key; `left`: those that are gone. */
  onPresenceLeave(callback: (key: string, current: Presence<Meta>[], left: Presence<Meta>[]) => void, options?: ListenOptions): this {
    const listener = (event: RealtimePresenceLeavePayload<Meta>): void => callback(event.key, event.currentPresences, event.leftPresences)
    return this.on('presence', { event: 'leave' }, listener as (event: RealtimePresenceLeavePayload<Untyped>) => void, options)
  }

  /** The payload tracked under a key was replaced. It is also reported as a join and a leave. */
  onPresenceUpdate(callback: (key: string, previous: Presence<Meta>[], current: Presence<Meta>[]) => void, options?: ListenOptions): this {
    const listener = (event: RealtimePresenceUpdatePayload<Meta>): void => callback(event.key, event.previousPresences, event.newPresences)
    return this.on('presence', { event: 'update' }, listener as (event: RealtimePresenceUpdatePayload<Untyped>) => void, options)
  }

  onPostgresChanges<Schema extends SchemaOf<Database>, Table extends TableOf<Database, Schema>, Event extends ChangeEvent | '*'>(
    event: Event,
    filter: ChangeFilter<RowOf<Database, Schema, Table>> & { schema: Schema; table?: Table },
    callback: (change: ChangeOf<RowOf<Database, Schema, Table>, Event>) => void,
    options?: ListenOptions,
  ): this {
    return this.on('postgres_changes', { event, ...filter }, callback, options)
  }

  onSystem(callback: (payload: RealtimeSystemPayload) => void, options?: ListenOptions): this {
    return this.on('system', {}, callback, options)
  }

  /** Called after each rejoin: says whether the missed messages were recovered. */
  onRejoin(callback: (rejoin: Rejoin) => void, options: ListenOptions = {}): this {
    return this.#listen('rejoin', { event: '*' }, callback, options)
  }

  /** Called after each rejoin that may have missed something: the place to fetch again. */
  onGap(callback: (rejoin: Rejoin) => void, options: ListenOptions = {}): this {
    return this.#listen('rejoin', { event: 'gap' }, callback, options)
  }

  /**
   * Called when a join is refused or lost, or changes are refused or withheld (`error.code` says why, `error.hint` what mends
   * it); with `null` when that is over.
   */
  onError(callback: (error: RealtimeError | null) => void, options: ListenOptions = {}): this {
    return this.#listen('error', { event: '*' }, callback, options)
  }

  /** Broadcasts as they come, from now on: `for await (const message of channel.broadcasts('move'))`. */
  broadcasts<Event extends EventOf<Events>>(
    event: Event,
    options?: IterationOptions,
  ): AsyncIterableIterator<BroadcastMessage<Events[Event], Event>> {
    return this.#iterate(options, (take, signal) => this.#listen('broadcast', { event }, take, { signal }))
  }

  /** Postgres changes as they come. To be asked for before the channel is subscribed. */
  changesOf<Schema extends SchemaOf<Database>, Table extends TableOf<Database, Schema>, Event extends ChangeEvent | '*'>(
    event: Event,
    filter: ChangeFilter<RowOf<Database, Schema, Table>> & { schema: Schema; table?: Table },
    options?: IterationOptions,
  ): AsyncIterableIterator<ChangeOf<RowOf<Database, Schema, Table>, Event>> {
    return this.#iterate(options, (take, signal) => this.onPostgresChanges(event, filter, take, { signal }))
  }

  /** The presences by key, each time that they change. To be asked for before the channel is subscribed. */
  presences(options?: IterationOptions): AsyncIterableIterator<PresenceSnapshot<Meta>> {
    return this.#iterate(options, (take, signal) =>
      this.onPresenceSync(() => take(this.#channel.presence.snapshot() as PresenceSnapshot<Meta>), { signal }),
    )
  }

  /** Takes over the listeners of another channel. */
  copyBindings(other: { readonly bindings: { readonly [type: string]: readonly Binding[] } }): void {
    if (this.#channel.joinedOnce) throw new RealtimeError('already-joined', 'cannot copy bindings into joined channel')
    for (const { type, filter, callback } of Object.values(other.bindings).flat()) this.#listen(type, filter, callback, {})
  }

  #listen(type: string, filter: object, callback: (payload: never) => void, { signal }: ListenOptions): this {
    if (signal?.aborted === true) return this
    const { listeners, host, topic } = this.#channel
    const binding: Binding = { type, filter: plainFilter(filter), callback }
    if (type === 'postgres_changes' && listeners.of(type).some((other) => isSameFilter(other.filter, binding.filter))) {
      host.log('channel', `ignored an equal listener on ${topic}`, binding.filter)
      return this
    }
    listeners.add(binding, signal)
    return this
  }

  #iterate<Item>(
    options: IterationOptions | undefined,
    listen: (take: (item: Item) => void, signal: AbortSignal) => void,
  ): AsyncIterableIterator<Item> {
    const channel = this.#channel
    return iterate(options, (take, end, signal) => {
      listen(take, signal)
      channel.ends.add(end)
      signal.addEventListener('abort', () => channel.ends.delete(end))
      return () => channel.kind === 'closed' && channel.subscribe()
    })
  }
}
