import { RealtimeClient } from '@tidewire/client'

/** Shares of a frame's width and height, from 0 to 1. */
export interface Point {
  readonly x: number
  readonly y: number
}

export interface DemoListener {
  moved(point: Point & { readonly name: string }): void
  status(text: string): void
}

type Moves = { readonly cursor: Point & { readonly name: string } }

/** One of the two clients of the demo: a connection of its own, as another browser would have. */
export class DemoCursor {
  readonly #client: RealtimeClient
  readonly #name: string
  readonly #channel

  constructor(endpoint: string, apikey: string, topic: string, name: string, listener: DemoListener) {
    this.#name = name
    this.#client = new RealtimeClient(endpoint, { apikey })
    this.#channel = this.#client.channel<Moves>(topic)
    this.#channel.onBroadcast('cursor', ({ payload }) => listener.moved(payload))
    this.#channel.subscribe((status) => listener.status(status === 'SUBSCRIBED' ? 'connected' : 'reconnecting'))
  }

  send(point: Point): void {
    if (!this.#channel.isJoined) return
    const rounded = { name: this.#name, x: Number(point.x.toFixed(3)), y: Number(point.y.toFixed(3)) }
    void this.#channel.sendBroadcast('cursor', rounded)
  }

  close(): void {
    void this.#client.removeAllChannels()
  }
}

/** The position of a cursor that the user does not move, so many milliseconds after its start: it wanders and comes back. */
export function pathAt(passedMs: number): Point {
  const turn = passedMs / 1_400
  return { x: 0.5 + 0.34 * Math.sin(turn), y: 0.52 + 0.3 * Math.sin(turn * 1.7 + 0.8) }
}
