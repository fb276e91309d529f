import { RealtimeClient, type ConnectionState, type WebSocketLikeConstructor } from '@tidewire/client'
import { ADMIN_TOPIC, decodeServerFrame, type AdminEvents, type AdminWelcome, type Message } from '@tidewire/protocol'
import { keyFault } from '../stores/key-fault.ts'
import type { Link, LinkListener } from './link.ts'
import { Questions, Refusal } from './questions.ts'
import { openSession, type Key } from './session.ts'

const EVENTS: ReadonlySet<string> = new Set(['admin_state', 'admin_tick', 'admin_log'] satisfies (keyof AdminEvents)[])
/** A key is renewed so long before it expires. */
const RENEW_BEFORE_MS = 60_000
const SHORTEST_WAIT_MS = 5_000

/**
 * The admin channel over a `RealtimeClient`, which keeps the socket, its heartbeats and its reconnects. The channel itself is
 * driven here: its events and replies are not those of an application.
 */
export class AdminLink implements Link {
  readonly #client: RealtimeClient
  readonly #listener: LinkListener
  readonly #questions: Questions
  readonly #off: () => void
  #key: Key
  #renewal: ReturnType<typeof setTimeout> | undefined
  #reconnect: ReturnType<typeof setTimeout> | undefined
  #wasOpen = false
  #isClosed = false

  constructor(endpoint: string, key: Key, listener: LinkListener) {
    this.#key = key
    this.#listener = listener
    this.#client = new RealtimeClient(endpoint, {
      apikey: key.token,
      transport: keyedSocket(() => this.#key.token),
      decode: (raw, done) => {
        const frame = decodeServerFrame('2.0.0', typeof raw === 'string' ? raw : new Uint8Array(raw))
        if (!frame.ok) return
        if (frame.value.topic === ADMIN_TOPIC) return this.#receive(frame.value)
        const { topic, event, payload, ref } = frame.value
        done({ topic, event, payload, ref: ref as string })
      },
    })
    this.#questions = new Questions((message) => this.#client.push({ topic: ADMIN_TOPIC, ...message }))
    this.#off = this.#client.onState((state) => this.#changed(state))
    this.#client.connect()
    this.#renewLater()
  }

  readonly request: Link['request'] = (name, request) => this.#questions.ask(name, request) as Promise<never>

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#renewal)
    clearTimeout(this.#reconnect)
    this.#off()
    void this.#client.disconnect()
    this.#questions.failAll('The page closed its connection.')
  }

  #receive({ event, payload, ref }: Message): void {
    if (event === 'phx_reply') this.#questions.answered(String(ref), payload)
    else if (event === 'phx_close') void this.#join()
    else if (EVENTS.has(event)) this.#listener.event(event as keyof AdminEvents, payload as AdminEvents[keyof AdminEvents])
  }

  async #join(): Promise<void> {
    this.#listener.state({ kind: 'connecting' })
    try {
      const welcome = (await this.#questions.join({ config: {}, access_token: this.#key.token })) as AdminWelcome
      this.#wasOpen = true
      this.#listener.state({ kind: 'open', welcome })
    } catch (error) {
      // Anything else is a lost connection, which is made again and joins again.
      if (error instanceof Refusal) this.#refuse(error.message)
    }
  }

  #changed(state: ConnectionState): void {
    if (state.kind === 'connected') return void this.#join()
    this.#questions.failAll('The connection was lost before the server answered.')
    if (state.kind === 'connecting') this.#listener.state({ kind: 'connecting' })
    if (state.kind === 'waiting') {
      this.#listener.state({ kind: 'waiting', reason: state.cause.reason || 'the server cannot be reached' })
      void this.#renew()
    } else if (state.kind === 'disconnected') {
      // The client gives up after a first handshake that the server refused.
      this.#listener.state({ kind: 'waiting', reason: 'the server refused the connection' })
      void this.#renew().then(() => this.#connectLater())
    }
  }

  #connectLater(): void {
    if (this.#isClosed) return
    clearTimeout(this.#reconnect)
    this.#reconnect = setTimeout(() => this.#client.connect(), SHORTEST_WAIT_MS)
  }

  /**
   * Asks for a newer key, for the next attempt too: without one a page that slept would try the expired one forever.
   * Where the server answers HTTP and takes no socket, the key is at fault.
   */
  async #renew(): Promise<void> {
    const session = await openSession()
    if (this.#isClosed) return
    if (session.kind === 'refused') return this.#refuse(session.reason)
    if (session.kind !== 'key') return
    const isNew = session.key.token !== this.#key.token
    if (!isNew && this.#client.connectionState() !== 'open') {
      const fault = keyFault(this.#key.token, Date.now())
      if (fault !== null) return this.#refuse(fault)
      if (!this.#wasOpen) return this.#refuse('The server did not open a socket for this key: it was not made by this server.')
    }
    this.#key = session.key
    if (isNew && this.#client.isConnected()) this.#questions.push('access_token', { access_token: this.#key.token })
    this.#renewLater()
  }

  #renewLater(): void {
    clearTimeout(this.#renewal)
    const { expiresAt } = this.#key
    if (expiresAt === null) return
    this.#renewal = setTimeout(() => void this.#renew(), Math.max(SHORTEST_WAIT_MS, expiresAt - Date.now() - RENEW_BEFORE_MS))
  }

  #refuse(reason: string): void {
    this.close()
    this.#listener.state({ kind: 'refused', reason })
  }
}

/** The browser's WebSocket, opened with the current key. */
function keyedSocket(token: () => string): WebSocketLikeConstructor {
  return class extends WebSocket {
    constructor(address: string | URL) {
      const url = new URL(address)
      url.searchParams.set('apikey', token())
      super(url)
    }
  } as unknown as WebSocketLikeConstructor
}
