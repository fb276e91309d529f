import { RealtimeClient, type RealtimeChannel } from '@tidewire/client'

/** What became of something that the composer sent. */
export interface Sent {
  readonly ok: boolean
  readonly text: string
}

/** Sends as an application would: with a key of applications, over a connection of its own. */
export class Sender {
  readonly #client: RealtimeClient
  #tracked: { readonly channel: RealtimeChannel; readonly topic: string } | null = null

  constructor(endpoint: string, apikey: string) {
    this.#client = new RealtimeClient(endpoint, { apikey })
  }

  /** Joins the topic for as long as it takes: what is sent to nobody, not even its sender, shows nowhere. */
  async broadcast(topic: string, isPrivate: boolean, event: string, payload: object): Promise<Sent> {
    const channel = this.#channel(topic, isPrivate)
    try {
      if (!channel.isJoined) await joined(channel)
      const answer = await channel.sendBroadcast(event, payload)
      return answer === 'ok' ? { ok: true, text: 'Sent.' } : { ok: false, text: `The server answered "${answer}".` }
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
      const answer = await channel.track(meta)
      if (answer !== 'ok') throw new Error(`The server answered "${answer}".`)
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

  #channel(topic: string, isPrivate: boolean): RealtimeChannel {
    return this.#client.channel(topic, { config: { private: isPrivate, broadcast: { ack: true }, presence: { enabled: true } } })
  }

  close(): void {
    void this.#client.removeAllChannels()
  }
}

/** Resolves once the channel is joined; rejects with what the server said, without trying again. */
function joined(channel: RealtimeChannel): Promise<void> {
  return new Promise((resolve, reject) => {
    channel.subscribe((status, error) => {
      if (status === 'SUBSCRIBED') resolve()
      else reject(error ?? new Error(status === 'TIMED_OUT' ? 'The server did not answer in time.' : 'The channel was closed.'))
    })
  })
}
