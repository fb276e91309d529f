import type { Runtime } from '../ports.ts'
import { Backlog, type BacklogLimits } from './backlog.ts'
import type { Transport } from './transport.ts'

/** What one socket is written, what of it the other side has taken, and whether it keeps up (rule C5). */
export class SocketOutput {
  readonly #transport: Transport
  readonly #limits: BacklogLimits
  readonly #runtime: Pick<Runtime, 'uptime' | 'endOfTurn'>
  readonly #owner: { overflowed(): void }
  /** Messages that were written. */
  messages = 0
  /** Until the closing handshake starts, so that leaving a topic still writes what is pending there. */
  #isOpen = true
  #bytesWritten = 0
  /** Bytes that the other side had taken at the last sweep. */
  #takenBefore = 0
  /** `null`: no more waits than may. */
  #backlog: Backlog | null = null
  /** The backlog is over the bound: nothing more is written, and the socket is closed at the end of the turn. */
  #isOverflowing = false

  constructor(transport: Transport, limits: BacklogLimits, runtime: Pick<Runtime, 'uptime' | 'endOfTurn'>, owner: { overflowed(): void }) {
    this.#transport = transport
    this.#limits = limits
    this.#runtime = runtime
    this.#owner = owner
  }

  get backlogBytes(): number {
    return this.#transport.backlogBytes()
  }

  write(frames: Buffer, messages: number): void {
    if (!this.#isOpen || this.#isOverflowing) return
    this.messages += messages
    this.#bytesWritten += frames.length
    this.#transport.write(frames)
    // Apart from the rest, so that this is small enough to be inlined where a topic goes through its subscribers.
    if (this.#backlog !== null || this.#transport.backlogBytes() > this.#limits.maxBytes) this.#watchBacklog()
  }

  /** Nothing is written from here on. */
  end(): void {
    this.#isOpen = false
  }

  /** Whether the backlog is empty, or something of it was taken since the last call. */
  hasMoved(): boolean {
    const taken = this.#takenBytes()
    // A backlog that grows may move all the same: a receiver that takes less than it is sent is not stalled.
    const moved = this.#transport.backlogBytes() === 0 || taken > this.#takenBefore
    this.#takenBefore = taken
    return moved
  }

  keepsUp(): boolean {
    const backlog = this.#transport.backlogBytes()
    if (backlog <= this.#limits.maxBytes) {
      this.#backlog = null
      return true
    }
    this.#backlog ??= new Backlog(this.#limits)
    return this.#backlog.allows({
      written: this.#bytesWritten,
      taken: this.#takenBytes(),
      backlog,
      now: this.#runtime.uptime(),
    })
  }

  #watchBacklog(): void {
    if (this.keepsUp()) return
    this.#isOverflowing = true
    // Not here: a topic is going through its subscribers. Leaving now would have it skip one, or write some of them what the
    // leave brings about before the message that is being written.
    this.#runtime.endOfTurn(() => this.#owner.overflowed())
  }

  #takenBytes(): number {
    return this.#transport.takenBytes?.() ?? this.#bytesWritten - this.#transport.backlogBytes()
  }
}
