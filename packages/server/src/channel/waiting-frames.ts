import { payloadBytes, type ClientFrame } from '@tidewire/protocol'

/** A channel may keep this many frames waiting for its join or for a decision; more are refused. */
const MAX_FRAMES = 1_000

/** Bytes that wait on all channels of one socket; shared by them. */
export interface WaitingBytes {
  bytes: number
}

/** Frames that a client sent on a channel before its join, or its right to send, was decided: in order, within bounds. */
export class WaitingFrames {
  readonly #together: WaitingBytes
  readonly #maxBytes: number
  #frames: ClientFrame[] = []

  /** `maxBytes`: the most that all channels of the socket keep; a single frame may be larger. */
  constructor(together: WaitingBytes, maxBytes: number) {
    this.#together = together
    this.#maxBytes = maxBytes
  }

  get size(): number {
    return this.#frames.length
  }

  /** Returns whether there was room for the frame. */
  push(frame: ClientFrame): boolean {
    const bytes = payloadBytes(frame.payload)
    if (this.#frames.length >= MAX_FRAMES) return false
    if (this.#together.bytes > 0 && this.#together.bytes + bytes > this.#maxBytes) return false
    this.#together.bytes += bytes
    this.#frames.push(frame)
    return true
  }

  /** Puts the frame that is being handled in front of the others. */
  putBack(frame: ClientFrame): void {
    this.#together.bytes += payloadBytes(frame.payload)
    this.#frames.unshift(frame)
  }

  take(): ClientFrame | undefined {
    const frame = this.#frames.shift()
    if (frame !== undefined) this.#together.bytes -= payloadBytes(frame.payload)
    return frame
  }

  takeAll(): readonly ClientFrame[] {
    const frames = this.#frames
    this.#frames = []
    for (const { payload } of frames) this.#together.bytes -= payloadBytes(payload)
    return frames
  }
}
