import { decodeServerFrame, encodeTextMessage, type Message, type Version } from '@tidewire/protocol'
import {
  allObservers,
  noLimits,
  resolveOptions,
  Server,
  type Decision,
  type Observer,
  type ServerOptions,
  type ServerPorts,
  type TokenVerifier,
} from '@tidewire/server'
import { ServerRuntime } from './server-runtime.ts'

/** A verifier for tests without keys: a token is the JSON of its claims, and `bad` has a bad signature. */
export const openVerifier: TokenVerifier = {
  verify: (token) =>
    Promise.resolve(
      token === 'bad' ? { ok: false, fault: { code: 'signature' } } : { ok: true, claims: JSON.parse(token) as Record<string, unknown> },
    ),
}

/** A token that {@link openVerifier} takes. `expSeconds` is Unix time. */
export function openToken(claims: Readonly<Record<string, unknown>> = {}, expSeconds = 1_900_000_000): string {
  return JSON.stringify({ role: 'anon', exp: expSeconds, ...claims })
}

function claimsIn(token: string): Record<string, unknown> {
  return token.startsWith('{') ? (JSON.parse(token) as Record<string, unknown>) : {}
}

/** A whole server on a clock that is moved by hand, with sockets that are arrays. */
export class NodeInProcess {
  readonly runtime: ServerRuntime
  readonly decisions: Decision[] = []
  readonly server: Server

  constructor(options: ServerOptions = {}, ports: Partial<ServerPorts> = {}, runtime: ServerRuntime = new ServerRuntime()) {
    this.runtime = runtime
    const observer: Observer = { ...allObservers([]), decision: (decision) => void this.decisions.push(decision) }
    this.server = new Server(resolveOptions({ limits: noLimits, ...options }), {
      runtime,
      verifier: openVerifier,
      observer,
      ...ports,
    })
  }

  /** `foreignOrigin`: as a page of another origin would. */
  connect(version: Version = '2.0.0', token: string = openToken(), foreignOrigin = false): SocketInProcess {
    return new SocketInProcess(this, version, token, foreignOrigin)
  }

  /** Lets promises settle and ends the turn, until nothing is left to run. */
  async settle(): Promise<void> {
    for (let round = 0; round < 10; round++) {
      await new Promise<void>((resolve) => setImmediate(resolve))
      this.runtime.endTurn()
    }
  }
}

/** The client's end of a socket: sends messages, keeps what came. */
export class SocketInProcess {
  readonly received: Message[] = []
  readonly #node: NodeInProcess
  readonly #version: Version
  readonly #connection: ReturnType<Server['accept']>
  closed: { readonly code: number; readonly reason: string } | null = null
  terminated = false
  /** Bytes that the client does not take; set to play a slow one. */
  backlog = 0

  constructor(node: NodeInProcess, version: Version, token: string, foreignOrigin: boolean) {
    this.#node = node
    this.#version = version
    this.#connection = node.server.accept(
      { version, token, headers: {}, claims: claimsIn(token), foreignOrigin },
      {
        write: (frames) => this.#read(frames),
        backlogBytes: () => this.backlog,
        close: (code, reason) => {
          this.closed = { code, reason }
        },
        terminate: () => {
          this.terminated = true
        },
      },
    )
  }

  send(message: Partial<Message> & { readonly topic: string; readonly event: string }): void {
    this.sendRaw(encodeTextMessage(this.#version, { joinRef: null, ref: null, payload: {}, ...message }, true))
  }

  sendRaw(data: string | Uint8Array): void {
    this.#connection.receive(Buffer.from(data as string), typeof data !== 'string')
  }

  /** Joins and waits for the reply. */
  async join(topic: string, config: unknown = {}, ref = '1', token?: string): Promise<Message> {
    this.send({ topic, event: 'phx_join', ref, joinRef: ref, payload: { config, ...(token === undefined ? {} : { access_token: token }) } })
    await this.#node.settle()
    const reply = this.received.find((message) => message.event === 'phx_reply' && message.topic === topic && message.ref === ref)
    if (reply === undefined) throw new Error(`no reply to the join of ${topic}: ${JSON.stringify(this.received)}`)
    return reply
  }

  /** The messages that came since the last call. */
  take(): Message[] {
    return this.received.splice(0)
  }

  disconnect(): void {
    this.#connection.transportClosed(1006)
  }

  #read(frames: Buffer): void {
    for (let at = 0; at < frames.length;) {
      let size = frames[at + 1]! & 0x7f
      let head = 2
      if (size === 126) [size, head] = [frames.readUInt16BE(at + 2), 4]
      else if (size === 127) [size, head] = [Number(frames.readBigUInt64BE(at + 2)), 10]
      const body = frames.subarray(at + head, at + head + size)
      const message = decodeServerFrame(this.#version, (frames[at]! & 0x0f) === 1 ? body.toString() : body)
      if (!message.ok) throw new Error(`the server sent what no client can read: ${message.detail}`)
      this.received.push(message.value)
      at += head + size
    }
  }
}
