import { RealtimeClient, RealtimeError, type RealtimeChannel } from '@tidewire/client'
import { afterEach, describe, expect, test } from 'vitest'
import { TranscriptServer } from './recorded-server.ts'
import { loadTranscript, versionOf, type RecordedFrame, type Step, type StepOf } from '../recording/transcript.ts'

/** What a listener got, or must get by the recorded frame. */
type News =
  | { readonly kind: 'broadcast'; readonly payload: unknown }
  | { readonly kind: 'system'; readonly payload: unknown }
  | {
      readonly kind: 'change'
      readonly binding: number
      readonly type: string
      readonly table: string
      readonly errors: unknown
      readonly row: unknown
    }

interface Message {
  readonly joinRef: string | null
  readonly ref: string | null
  readonly topic: string
  readonly event: string
  readonly payload: Record<string, unknown>
}

/** One recorded client, spoken by ours. */
class Actor {
  readonly client: RealtimeClient
  readonly channels = new Map<string, { readonly channel: RealtimeChannel; ids: readonly number[]; live: boolean }>()
  /** By topic, through leaves and joins. */
  readonly heard = new Map<string, News[]>()
  readonly expected = new Map<string, News[]>()
  readonly presence = new Map<string, Record<string, unknown[]>>()
  /** Messages of the errors that our API throws where the recorded client joined. */
  readonly refused: string[] = []

  constructor(url: string, name: string, version: string) {
    this.client = new RealtimeClient(`${url}/${name}`, { params: { apikey: 'key' }, vsn: version, heartbeatIntervalMs: 60_000 })
  }

  join(message: Message): boolean {
    const config = message.payload['config'] as Record<string, unknown> | undefined
    if (!message.topic.startsWith('realtime:') || typeof config !== 'object' || this.channels.get(message.topic)?.live === true)
      return false
    const entries = (Array.isArray(config['postgres_changes']) ? config['postgres_changes'] : []).filter(
      (entry) => entry !== null,
    ) as object[]
    const heard = listAt(this.heard, message.topic)
    const { postgres_changes: _entries, ...rest } = config
    const channel = this.client.channel(message.topic.slice('realtime:'.length), { config: rest })
    channel.on('broadcast', { event: '*' }, (payload: unknown) => void heard.push({ kind: 'broadcast', payload: plain(payload) }))
    channel.onSystem((payload: unknown) => void heard.push({ kind: 'system', payload }))
    try {
      for (const [binding, entry] of entries.entries())
        channel.on('postgres_changes', entry as { event: '*'; schema: string }, (change) => {
          heard.push({ kind: 'change', binding, type: change.eventType, table: change.table, errors: change.errors, row: change.new })
        })
    } catch (error) {
      if (!(error instanceof RealtimeError && error.code === 'bad-argument')) throw error
      this.refused.push(error.message)
      void this.client.removeChannel(channel)
      return false
    }
    this.channels.set(message.topic, { channel, ids: [], live: true })
    channel.subscribe()
    return true
  }

  /** Says what the recorded client said; false for what our API cannot say. */
  say(message: Message): boolean {
    if (message.event === 'phx_join') return this.join(message)
    const joined = this.channels.get(message.topic)
    if (joined?.live !== true || !joined.channel.isJoined) return false
    const { type, event, payload } = message.payload
    switch (message.event) {
      case 'phx_leave':
        joined.live = false
        void joined.channel.unsubscribe()
        return true
      case 'broadcast':
        if (type !== 'broadcast' || typeof event !== 'string' || typeof payload !== 'object') return false
        void joined.channel.send({ type, event, payload: payload as Record<string, unknown> })
        return true
      case 'presence':
        if (event !== 'untrack' && (event !== 'track' || typeof payload !== 'object')) return false
        void (event === 'track' ? joined.channel.track(payload as Record<string, unknown>) : joined.channel.untrack())
        return true
      default:
        return false
    }
  }

  /** Notes what the recorded frame must lead to. */
  expect(message: Message): void {
    const joined = this.channels.get(message.topic)
    if (joined === undefined) return
    const expected = listAt(this.expected, message.topic)
    const { payload } = message
    switch (message.event) {
      case 'phx_reply': {
        const response = payload['response'] as { readonly postgres_changes?: readonly { readonly id: number }[] } | undefined
        if (payload['status'] === 'ok' && response?.postgres_changes !== undefined)
          joined.ids = response.postgres_changes.map(({ id }) => id)
        return
      }
      case 'broadcast':
        return void expected.push({ kind: 'broadcast', payload })
      case 'system':
        return void expected.push({ kind: 'system', payload })
      case 'postgres_changes': {
        const { ids, data } = payload as {
          readonly ids: readonly number[]
          readonly data: { type: string; table: string; errors: unknown; record?: unknown }
        }
        for (const [binding, id] of joined.ids.entries())
          if (ids.includes(id))
            expected.push({ kind: 'change', binding, type: data.type, table: data.table, errors: data.errors, row: data.record ?? {} })
        return
      }
      case 'presence_state':
      case 'presence_diff':
        return this.#presence(message)
    }
  }

  #presence({ topic, event, payload }: Message): void {
    // Without a state to begin with, a client has not asked for presence, and shows none.
    if (event === 'presence_diff' && !this.presence.has(topic)) return
    const state: Record<string, unknown[]> = event === 'presence_state' ? {} : { ...this.presence.get(topic) }
    const { joins = payload, leaves = {} } = (event === 'presence_state' ? {} : payload) as Record<
      string,
      Record<string, { metas: { phx_ref: string }[] }>
    >
    const refs = (metas: readonly { phx_ref: string }[]): Set<string> => new Set(metas.map(({ phx_ref: ref }) => ref))
    for (const [key, { metas }] of Object.entries(joins as Record<string, { metas: { phx_ref: string }[] }>))
      state[key] = [...(state[key] ?? []), ...metas]
    for (const [key, { metas }] of Object.entries(leaves)) {
      const gone = refs(metas)
      const kept = (state[key] as { phx_ref: string }[]).filter(({ phx_ref: ref }) => !gone.has(ref))
      if (kept.length === 0) delete state[key]
      else state[key] = kept
    }
    this.presence.set(topic, state)
  }
}

function listAt(lists: Map<string, News[]>, topic: string): News[] {
  const list = lists.get(topic) ?? []
  lists.set(topic, list)
  return list
}

/** A payload with bytes shown as text. */
function plain(value: unknown): unknown {
  if (value instanceof ArrayBuffer) return `bytes ${Buffer.from(value).toString('base64')}`
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, entry]) => [key, entry instanceof ArrayBuffer ? plain(entry) : (entry as unknown)]),
  )
}

function messageOf(frame: RecordedFrame): Message {
  if (typeof frame !== 'string') return binaryMessage(Buffer.from(frame))
  const value = JSON.parse(frame) as unknown
  if (Array.isArray(value)) {
    const [joinRef, ref, topic, event, payload] = value as [string | null, string | null, string, string, Record<string, unknown>]
    return { joinRef, ref, topic, event, payload }
  }
  const { join_ref: joinRef = null, ...message } = value as Message & { readonly join_ref?: string | null }
  return { ...message, joinRef }
}

/** Kinds 3 (from a client) and 4 (from the server). */
function binaryMessage(bytes: Buffer): Message {
  const names: string[] = []
  const [header, sizes] = bytes[0] === 3 ? [7, [1, 2, 3, 4, 5]] : [5, [1, 2, 3]]
  let at = header
  for (const size of sizes) names.push(bytes.toString('utf8', at, (at += bytes[size]!)))
  const rest = bytes.subarray(at)
  const payload: unknown = bytes[header - 1] === 0 ? `bytes ${rest.toString('base64')}` : JSON.parse(rest.toString())
  const [joinRef = null, ref = null] = bytes[0] === 3 ? names : []
  const [topic, event, meta] = names.slice(-3) as [string, string, string]
  const extra = meta === '' || bytes[0] === 3 ? {} : { meta: JSON.parse(meta) as unknown }
  return { joinRef, ref, topic, event: 'broadcast', payload: { type: 'broadcast', event, payload, ...extra } }
}

/** Recordings whose clients do what an application can do through the API. */
const turned = [
  'v1_access_token_refresh',
  'v1_broadcast_from_database',
  'v1_postgres_changes_basic',
  'v1_postgres_changes_errors',
  'v1_postgres_changes_filters',
  'v1_postgres_changes_large_row',
  'v1_postgres_changes_rls',
  'v1_postgres_changes_select',
  'v1_postgres_changes_types',
  'v1_presence',
  'v1_presence_same_key_two_clients',
  'v1_private_presence',
  'v1_private_allowed_denied',
  'v1_replay',
  'v2_broadcast_from_database',
  'v2_join_all_config_keys',
  'v2_postgres_changes_basic',
]

const closing: (() => Promise<unknown>)[] = []

afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()))
})

async function act(server: TranscriptServer, actor: Actor, step: StepOf<'send'>): Promise<void> {
  const message = messageOf(step.frame)
  if (actor.say(message)) await server.hear(step.client, message)
}

async function turn(steps: readonly Step[]): Promise<ReadonlyMap<string, Actor>> {
  const server = new TranscriptServer()
  closing.push(() => server.close())
  const url = await server.listen()
  const actors = new Map<string, Actor>()
  closing.push(() => Promise.all([...actors.values()].map(({ client }) => client.disconnect())))
  for (const step of steps) {
    if (step.kind === 'open') {
      const actor = new Actor(url, step.client, versionOf(step.url))
      actors.set(step.client, actor)
      actor.client.connect()
      await server.connected(step.client)
    } else if (step.kind === 'send') await act(server, actors.get(step.client)!, step)
    else if (step.kind === 'receive') {
      const actor = actors.get(step.client)!
      if (!server.say(step.client, step.frame)) continue
      actor.expect(messageOf(step.frame))
      await heartbeat(actor.client)
    }
  }
  return actors
}

/** What was sent before has been taken in when its answer is there. */
async function heartbeat(client: RealtimeClient): Promise<void> {
  const answered = new Promise<void>((resolve) =>
    client.onHeartbeat((status) => {
      if (status === 'ok') resolve()
    }),
  )
  await client.sendHeartbeat()
  await answered
}

describe('our client understands what the reference said', () => {
  test.each(turned)('%s', async (name) => {
    const actors = await turn(loadTranscript(name).steps)
    let news = 0
    for (const actor of actors.values()) {
      expect(actor.refused).toEqual(name === 'v1_postgres_changes_errors' ? ['There is no `postgres_changes` event "BOGUS".'] : [])
      expect(Object.fromEntries(actor.heard)).toEqual(
        Object.fromEntries([...actor.heard.keys()].map((topic) => [topic, actor.expected.get(topic) ?? []])),
      )
      for (const [topic, { channel, live }] of actor.channels) {
        news += actor.heard.get(topic)?.length ?? 0
        if (live && actor.presence.has(topic)) {
          news++
          const shown = Object.entries(channel.presenceState()).map(([key, metas]) => [
            key,
            metas.map(({ presence_ref: ref, ...rest }) => ({ phx_ref: ref, ...rest })),
          ])
          expect(Object.fromEntries(shown)).toMatchObject(actor.presence.get(topic)!)
        }
      }
    }
    expect(news).toBeGreaterThan(0)
  })
})
