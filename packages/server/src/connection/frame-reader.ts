import {
  decodeClientFrame,
  decodeClientFrameSteps,
  type ClientFrame,
  type Decoded,
  type FrameBounds,
  type Version,
} from '@tidewire/protocol'
import type { Services } from '../channel/services.ts'
import type { Transport } from './transport.ts'

/** A larger frame is read in steps. */
export const LARGE_FRAME_BYTES = 131_072

/** The connection that frames are for. */
interface FrameTaker {
  readonly version: Version
  readonly frameBounds: FrameBounds
  readonly isOpen: boolean
  readonly services: Pick<Services, 'fanOutTimes' | 'largeFrames' | 'runtime'>
  take(frame: Decoded<ClientFrame>): void
}

export function readWhole(taker: FrameTaker, data: Uint8Array, binary: boolean): void {
  const { fanOutTimes } = taker.services
  fanOutTimes.frameBegins()
  taker.take(decodeClientFrame(taker.version, data, binary, taker.frameBounds))
  fanOutTimes.frameEnds()
}

/** Frames, or the end, that came after a large frame that is still being read. */
interface Behind {
  readonly frames: { readonly data: Uint8Array; readonly binary: boolean }[]
  atEnd: (() => void) | null
}

/** Reads the frames of one socket, in order. A large one is read in steps; meanwhile nothing more is taken from the socket. */
export class FrameReader {
  readonly #taker: FrameTaker
  readonly #transport: Transport
  /** `null`: no large frame is being read. */
  #behind: Behind | null = null

  constructor(taker: FrameTaker, transport: Transport) {
    this.#taker = taker
    this.#transport = transport
  }

  read(data: Uint8Array, binary: boolean): void {
    // A chunk that the socket had read before it paused may hold more frames.
    if (this.#behind !== null) return void this.#behind.frames.push({ data, binary })
    if (data.length > LARGE_FRAME_BYTES) return this.#readInSteps(data, binary)
    readWhole(this.#taker, data, binary)
  }

  /** Calls back when all that came is read. */
  atEnd(callback: () => void): void {
    if (this.#behind === null) callback()
    else this.#behind.atEnd = callback
  }

  /** Takes nothing more from the socket while too many bytes of other sockets wait to be read. */
  awaitRoom(): void {
    const { largeFrames } = this.#taker.services
    if (this.#behind !== null || !largeFrames.isFull) return
    this.#transport.pause?.()
    largeFrames.whenRoom(() => {
      if (this.#behind === null) this.#transport.resume?.()
    })
  }

  #readInSteps(data: Uint8Array, binary: boolean): void {
    const { version, frameBounds, services } = this.#taker
    const { fanOutTimes, largeFrames, runtime } = services
    const arrivedAt = runtime.uptime()
    this.#behind = { frames: [], atEnd: null }
    this.#transport.pause?.()
    largeFrames.add(decodeClientFrameSteps(version, data, binary, frameBounds), data.length, (frame) => {
      fanOutTimes.frameBegins(arrivedAt)
      try {
        if (this.#taker.isOpen) this.#taker.take(frame)
      } finally {
        fanOutTimes.frameEnds()
        this.#readBehind()
      }
    })
  }

  #readBehind(): void {
    const { frames, atEnd } = this.#behind!
    this.#behind = null
    for (const [at, { data, binary }] of frames.entries()) {
      if (!this.#taker.isOpen) break
      this.read(data, binary)
      if (!this.#isReading) continue
      this.#behind!.frames.push(...frames.slice(at + 1))
      this.#behind!.atEnd = atEnd
      return
    }
    if (atEnd === null) this.#transport.resume?.()
    else atEnd()
  }

  /** A getter, since TypeScript does not see that `read` sets `#behind`. */
  get #isReading(): boolean {
    return this.#behind !== null
  }
}
