import type { Runtime } from '../ports.ts'

/** What is gathered does not wait for the end of the turn when it is this much. */
const WRITE_BYTES = 64 * 1024

/**
 * What goes to one socket. Frames that come one by one for it alone, as row changes do, are written together when several
 * come in a turn of the event loop: a write costs the kernel more than all that went before it.
 */
export class Outbox {
  readonly #write: (frames: Buffer) => void
  readonly #runtime: Pick<Runtime, 'endOfTurn'>
  #gathered: Buffer[] = []
  #bytes = 0
  #inTurn = false

  constructor(write: (frames: Buffer) => void, runtime: Pick<Runtime, 'endOfTurn'>) {
    this.#write = write
    this.#runtime = runtime
  }

  /** Writes at once, after what was gathered. */
  write(frames: Buffer): void {
    this.flush()
    this.#write(frames)
  }

  /** The first of a turn is written at once, those that follow together. */
  gather(frame: Buffer): void {
    if (!this.#inTurn) {
      this.#inTurn = true
      this.#runtime.endOfTurn(this.#turnEnds)
      return this.write(frame)
    }
    this.#gathered.push(frame)
    this.#bytes += frame.length
    if (this.#bytes >= WRITE_BYTES) this.flush()
  }

  flush(): void {
    if (this.#gathered.length === 0) return
    const frames = this.#gathered.length === 1 ? this.#gathered[0]! : Buffer.concat(this.#gathered, this.#bytes)
    this.#gathered = []
    this.#bytes = 0
    this.#write(frames)
  }

  readonly #turnEnds = (): void => {
    this.#inTurn = false
    this.flush()
  }
}
