import { decodeClientFrame, isJsonObject, textBytes, type ClientFrame, type JsonObject, type Version } from '@tidewire/protocol'
import type { FakeRuntime, FakeSocket } from './fake-runtime.ts'

/** A frame from the client as tests look at it: the payload parsed, broadcasts as `{ type, event, payload }`. */
export interface SentMessage {
  readonly socket: FakeSocket
  readonly joinRef: unknown
  readonly ref: unknown
  readonly topic: string
  readonly event: string
  readonly payload: unknown
}

/** What is answered to one kind of message; `null` is silence. */
export type Script = (message: SentMessage) => { readonly status: string; readonly response: unknown } | null

/**
 * A server on the other end of a FakeRuntime's sockets that a test scripts. By default it opens
 * every socket, accepts every join and answers every push with `ok`.
 */
export class ScriptedServer {
  readonly received: SentMessage[] = []
  opens = true
  onJoin: Script = ({ payload }) => ({ status: 'ok', response: { postgres_changes: withIds(payload) } })
  onHeartbeat: Script = () => ({ status: 'ok', response: {} })
  onPush: Script = () => ({ status: 'ok', response: {} })
  readonly #runtime: FakeRuntime
  readonly #version: Version

  constructor(runtime: FakeRuntime, version: Version = '2.0.0') {
    this.#runtime = runtime
    this.#version = version
    runtime.onSocket = (socket) => {
      socket.onSent = (frame) => this.#hear(socket, frame)
      if (this.opens) queueMicrotask(() => socket.open())
    }
  }

  /** Everything received with this event, in order. */
  heard(event: string): readonly SentMessage[] {
    return this.received.filter((message) => message.event === event)
  }

  /** Sends on the newest socket. */
  send(joinRef: unknown, ref: unknown, topic: string, event: string, payload: unknown): void {
    this.#runtime.socket.receive(this.#frame(joinRef, ref, topic, event, payload))
  }

  /** Sends to all members of a topic. */
  push(topic: string, event: string, payload: unknown): void {
    this.send(null, null, topic, event, payload)
  }

  reply(to: SentMessage, status: string, response: unknown): void {
    to.socket.receive(this.#frame(to.joinRef, to.ref, to.topic, 'phx_reply', { status, response }))
  }

  /** The join ref under which the topic was joined last. */
  joinRef(topic: string): unknown {
    return this.heard('phx_join').findLast((message) => message.topic === topic)?.joinRef
  }

  #hear(socket: FakeSocket, frame: string | Uint8Array): void {
    const data = typeof frame === 'string' ? textBytes(frame) : frame
    const decoded = decodeClientFrame(this.#version, data, typeof frame !== 'string')
    if (!decoded.ok) throw new Error(`the client sent what no server reads: ${decoded.detail}`)
    const { joinRef, ref, topic, event } = decoded.value
    const message: SentMessage = { socket, joinRef, ref, topic, event, payload: payloadOf(decoded.value) }
    this.received.push(message)
    const answer = this.#scriptFor(event)(message)
    if (answer !== null) queueMicrotask(() => this.reply(message, answer.status, answer.response))
  }

  #scriptFor(event: string): Script {
    switch (event) {
      case 'phx_join':
        return this.onJoin
      case 'heartbeat':
        return this.onHeartbeat
      case 'access_token':
        return () => null
      default:
        return this.onPush
    }
  }

  #frame(joinRef: unknown, ref: unknown, topic: string, event: string, payload: unknown): unknown {
    return this.#version === '2.0.0' ? [joinRef, ref, topic, event, payload] : { ref, event, payload, topic }
  }
}

function payloadOf({ payload }: ClientFrame): unknown {
  switch (payload.kind) {
    case 'json':
      return payload.value
    case 'json-text':
      return JSON.parse(new TextDecoder().decode(payload.bytes)) as unknown
    case 'binary':
      return payload.bytes
    case 'user-broadcast': {
      const { event, encoding, bytes } = payload.broadcast
      return { type: 'broadcast', event, payload: encoding === 'json' ? (JSON.parse(new TextDecoder().decode(bytes)) as unknown) : bytes }
    }
  }
}

/** The wanted changes as a server echoes them, with ids from 1. */
function withIds(payload: unknown): readonly JsonObject[] {
  const config = isJsonObject(payload) ? payload['config'] : undefined
  const entries = isJsonObject(config) ? config['postgres_changes'] : undefined
  return Array.isArray(entries) ? (entries as JsonObject[]).map((entry, index) => ({ ...entry, id: index + 1 })) : []
}
