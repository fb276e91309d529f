import type { RealtimeChannel, RealtimeChannelSendResponse, UntypedRow } from '@tidewire/client'

/** The one presence of a channel: of what its components track, the latest. */
export class TrackedPresence {
  /** By owner, the latest last. */
  readonly #tracks = new Map<object, UntypedRow>()
  /** The payload that was sent last, as JSON. */
  #sent: string | undefined
  #response: Promise<RealtimeChannelSendResponse> = Promise.resolve('ok')

  /** Becomes the latest. */
  track(owner: object, payload: UntypedRow): void {
    this.#tracks.delete(owner)
    this.#tracks.set(owner, payload)
  }

  /** As `track`, but an owner that is known keeps its place. */
  remember(owner: object, payload: UntypedRow): void {
    this.#tracks.set(owner, payload)
  }

  untrack(owner: object): void {
    this.#tracks.delete(owner)
  }

  /** The server has forgotten it. */
  lost(): void {
    this.#sent = undefined
  }

  /** Sends the latest payload, unless it was sent last. */
  send(channel: RealtimeChannel | null): Promise<RealtimeChannelSendResponse> {
    const wanted = [...this.#tracks.values()].at(-1)
    const text = jsonOf(wanted)
    if (channel === null || text === this.#sent) return this.#response
    this.#sent = text
    const response = (wanted === undefined ? channel.untrack() : channel.track(wanted)).then(
      (result) => {
        if (result !== 'ok') this.#failed(text)
        return result
      },
      (error: unknown) => {
        this.#failed(text)
        throw error
      },
    )
    // The caller gets the fault; a join that shows what was tracked before has no caller.
    response.catch(() => {})
    this.#response = response
    return response
  }

  /** The next join tries again. */
  #failed(text: string | undefined): void {
    if (this.#sent === text) this.#sent = undefined
    this.#response = Promise.resolve('ok')
  }
}

/** Payloads that look the same to others have the same text. The client refuses what cannot be written. */
function jsonOf(payload: UntypedRow | undefined): string | undefined {
  try {
    return JSON.stringify(payload)
  } catch {
    return 'not serializable'
  }
}
