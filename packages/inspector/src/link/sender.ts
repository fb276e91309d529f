import { RealtimeClient, type RealtimeChannel } from '@tidewire/client'
import { decodeServerFrame, isJsonObject, type Message } from '@tidewire/protocol'

/** The outcome of a message of the composer. */
export interface Sent {
  readonly ok: boolean
  readonly text: string
}

/** Sends as an application would: with a key of applications, over a connection of its own. */
export class Sender {
  readonly #client: RealtimeClient
  /** Why the server refused the last message, in its own words: the client reports to applications only that it did. */
  #refusal: string | null = null
  #tracked: { readonly channel: RealtimeChannel; readonly topic: string } | null = null

  constructor(endpoint: string, apikey: string) {
    this.#client = new RealtimeClient(endpoint, {
      apikey,
      decode: (raw, done) => {
        const frame = decodeServerFrame('2.0.0', typeof raw === 'string' ? raw : new Uint8Array(raw))
        if (!frame.ok) return
        const { topic, event, payload, ref } = frame.value
        this.#refusal = refusalIn(frame.value) ?? this.#refusal
        done({ topic, event, payload, ref: ref as string })
      },
    })
  }

  /** Joins the topic for as long as it takes, so that the message has at least its sender as a receiver and shows in the log. */
  async broadcast(topic: string, isPrivate: boolean, event: string, payload: object): Promise<Sent> {
    const channel = this.#channel(topic, isPrivate)
    try {
      if (!channel.isJoined) await joined(channel)
      this.#refusal = null
      const answer = await channel.sendBroadcast(event, payload)
      return answer === 'ok' ? { ok: true, text: 'Sent.' } : { ok: false, text: this.#explain(answer) }
    } catch (error) {
      return { ok: false, text: (error as Error).message }
    } finally {
      if (this.#tracked?.channel !== channel) await channel.unsubscribe()
    }
  }

  /** Joins the topic and is seen there until `untrack`, or until something else is tracked. */
  async track(topic: string, isPrivate: boolean, meta: object): Promise<Sent> {
    if (this.#tracked !== null && this.#tracked.topic !== topic) await this.untrack()
    const channel = this.#tracked?.channel ?? this.#channel(topic, isPrivate)
    try {
      if (!channel.isJoined) await joined(channel)
      this.#refusal = null
      const answer = await channel.track(meta)
      if (answer !== 'ok') throw new Error(this.#explain(answer))
      this.#tracked = { channel, topic }
      return { ok: true, text: `Present in ${topic} until you take it back.` }
    } catch (error) {
      await channel.unsubscribe()
      this.#tracked = null
      return { ok: false, text: (error as Error).message }
    }
  }

  async untrack(): Promise<Sent> {
    const tracked = this.#tracked
    this.#tracked = null
    await tracked?.channel.unsubscribe()
    return { ok: true, text: 'Not present any more.' }
  }

  #explain(answer: string): string {
    if (this.#refusal !== null) return this.#refusal
    return answer === 'timed out' ? 'The server did not answer in time.' : 'The server did not take it, and did not say why.'
  }

  #channel(topic: string, isPrivate: boolean): RealtimeChannel {
    return this.#client.channel(topic, { config: { private: isPrivate, broadcast: { ack: true }, presence: { enabled: true } } })
  }

  close(): void {
    void this.#client.removeAllChannels()
  }
}

/** The sentence of a refusal, in a reply or a system message. */
function refusalIn({ event, payload }: Message): string | null {
  if ((event !== 'phx_reply' && event !== 'system') || !isJsonObject(payload) || payload['status'] !== 'error') return null
  const { response, message } = payload
  const reason = isJsonObject(response) ? response['reason'] : (response ?? message)
  return typeof reason === 'string' && reason !== '' ? reason : null
}

/** Resolves once the channel is joined; rejects with the server's reason, without trying again. */
function joined(channel: RealtimeChannel): Promise<void> {
  return new Promise((resolve, reject) => {
    channel.subscribe((status, error) => {
      if (status === 'SUBSCRIBED') resolve()
      else reject(error ?? new Error(status === 'TIMED_OUT' ? 'The server did not answer in time.' : 'The channel was closed.'))
    })
  })
}
