/** What the browser tests show: one configurable scene, and what a test asks of it. */
import { RealtimeClient, type Rejoin } from '@tidewire/client'
import { Component, StrictMode, useEffect, version, type ReactElement, type ReactNode } from 'react'
import { flushSync } from 'react-dom'
import { createRoot, hydrateRoot } from 'react-dom/client'
import { renderToString } from 'react-dom/server.browser'
import {
  RealtimeProvider,
  useBroadcast,
  useChannel,
  useChannelStatus,
  useConnection,
  useGap,
  usePostgresChanges,
  usePresence,
  useRealtime,
  type Member,
  type SharedChannel,
} from '../src/index.ts'

export type Events = { say: { text: string } }
export type Meta = { name: string }

export interface Scene {
  readonly topic: string
  /** A component each, with a channel of its own. */
  readonly chats?: readonly Chat[]
  /** The user's name; without one no presence is listed. */
  readonly name?: string
  readonly tables?: readonly string[]
  readonly owned?: boolean
  readonly isKeyed?: string
}

interface Chat {
  readonly id: string
  /** Said before each message that is heard. */
  readonly mark?: string
  readonly throws?: boolean
  readonly ack?: boolean
}

export interface Page {
  readonly version: string
  readonly client: RealtimeClient
  readonly gaps: Rejoin[]
  readonly sends: Set<unknown>
  readonly lists: Set<readonly Member<Meta>[]>
  /** Through the chat of that name. */
  say(id: string, text: string): Promise<string>
  track(meta: Meta): Promise<string>
  untrack(): Promise<string>
  show(scene: Scene | null): void
  /** One after the other, before anything else can happen. */
  showAll(scenes: readonly (Scene | null)[]): void
  unmount(): void
  hydrate(scene: Scene): { html: string; sockets: number }
}

declare global {
  var page: Page
  var config: { url: string; apikey: string }
  var sockets: WebSocket[]
}

const client = new RealtimeClient(config.url, { apikey: config.apikey, reconnectAfterMs: () => 20 })
const gaps: Rejoin[] = []
const sends = new Set<unknown>()
const lists = new Set<readonly Member<Meta>[]>()
const says = new Map<string, (text: string) => Promise<string>>()
let actions: Partial<Pick<Page, 'track' | 'untrack'>> = {}
let root: { render(node: ReactNode): void; unmount(): void } | undefined

class Boundary extends Component<{ readonly children: ReactNode }, { readonly failed: boolean }> {
  override state = { failed: false }

  static getDerivedStateFromError(): { failed: boolean } {
    return { failed: true }
  }

  override render(): ReactNode {
    return this.state.failed ? <p id="failed">failed</p> : this.props.children
  }
}

function ChatBox({ topic, id, mark = '', throws = false, ack = false }: Chat & { readonly topic: string }): ReactElement {
  // Another object at each render, as most people write it.
  const channel = useChannel<Events, Meta>(topic, { config: { broadcast: { self: true, ack } } })
  const { state, error } = useChannelStatus(channel)
  const send = useBroadcast(channel, 'say', ({ payload }) => {
    document.getElementById(`heard-${id}`)!.append(`${mark}${payload.text} `)
    if (throws) throw new Error('a handler that throws')
  })
  useEffect(() => {
    sends.add(send)
    says.set(id, (text) => send({ text }))
  }, [send, id])
  return (
    <>
      <p id={`state-${id}`}>{error === null ? state : `${state}: ${error.code}`}</p>
      <p id={`heard-${id}`} />
    </>
  )
}

function People({ channel, name }: { readonly channel: SharedChannel<Events, Meta>; readonly name: string }): ReactElement {
  const { members, track, untrack } = usePresence(channel, { initial: { name } })
  useEffect(() => void lists.add(members), [members])
  actions = { track, untrack }
  return (
    <ul id="people">
      {members.map(({ ref, meta }) => (
        <li key={ref}>{meta.name}</li>
      ))}
    </ul>
  )
}

function Table({ channel, table }: { readonly channel: SharedChannel<Events, Meta>; readonly table: string }): ReactElement {
  usePostgresChanges(channel, 'INSERT', { schema: 'public', table, filter: (where) => where.gt('id', 0) }, (change) => {
    document.getElementById(`rows-${table}`)!.append(`${String(change.new['title'])} `)
  })
  return <p id={`rows-${table}`} />
}

function Room({ topic, name, tables = [] }: Scene): ReactElement {
  const channel = useChannel<Events, Meta>(topic, { config: { broadcast: { self: true, ack: false } } })
  useGap(channel, (rejoin) => gaps.push(rejoin))
  return (
    <>
      {name === undefined ? null : <People channel={channel} name={name} />}
      {tables.map((table) => (
        <Table key={table} channel={channel} table={table} />
      ))}
    </>
  )
}

function Connection(): ReactElement {
  useRealtime()
  return <p id="connection">{useConnection().status}</p>
}

function tree(scene: Scene | null): ReactElement {
  const shown = (
    <Boundary>
      <Connection />
      {scene === null ? null : (
        <div key={scene.isKeyed}>
          {scene.name === undefined && scene.tables === undefined ? null : <Room {...scene} />}
          {scene.chats?.map((chat) => (
            <ChatBox key={chat.id} topic={scene.topic} {...chat} />
          ))}
        </div>
      )}
    </Boundary>
  )
  const owned = { url: config.url, options: { apikey: config.apikey } }
  return (
    <StrictMode>
      {scene?.owned === true ? (
        <RealtimeProvider {...owned}>{shown}</RealtimeProvider>
      ) : (
        <RealtimeProvider client={client}>{shown}</RealtimeProvider>
      )}
    </StrictMode>
  )
}

const container = (): HTMLElement => document.getElementById('root')!

globalThis.page = {
  version,
  client,
  gaps,
  sends,
  lists,
  say: (id, text) => says.get(id)!(text),
  track: (meta) => actions.track!(meta),
  untrack: () => actions.untrack!(),
  show: (scene) => {
    root ??= createRoot(container())
    root.render(tree(scene))
  },
  showAll: (scenes) => {
    root ??= createRoot(container())
    for (const scene of scenes) flushSync(() => root!.render(tree(scene)))
  },
  unmount: () => {
    root?.unmount()
    root = undefined
  },
  hydrate: (scene) => {
    const html = renderToString(tree(scene))
    const made = sockets.length
    container().innerHTML = html
    root = hydrateRoot(container(), tree(scene))
    return { html, sockets: made }
  },
}
