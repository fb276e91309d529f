import type { Runtime } from '../ports.ts'
import { Backlog, type BacklogLimits } from './backlog.ts'
import type { Transport } from './transport.ts'

/** Writes to one socket, and watches whether the other side takes it fast enough (rule C5). */
export class SocketOutput {
  readonly #transport: Transport
  readonly #limits: BacklogLimits
  readonly #runtime: Pick<Runtime, 'uptime' | 'endOfTurn'>
  readonly #owner: { overflowed(): void }
  /** Messages that were written. */
  messages = 0
  /** True until the closing handshake starts: channels that leave before it still write their pending messages. */
  #isOpen = true
  #bytesWritten = 0
  /** Bytes that the other side had taken at the last sweep. */
  #takenBefore = 0
  /** `null` while the backlog is within `maxBytes`. */
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
    // `#watchBacklog` is a method of its own so that this one stays small enough to be inlined into the fan-out.
    if (this.#backlog !== null || this.#transport.backlogBytes() > this.#limits.maxBytes) this.#watchBacklog()
  }

  /** Stops writing. */
  end(): void {
    this.#isOpen = false
  }

  /** Whether the backlog is empty, or the other side took something of it since the last call. */
  hasMoved(): boolean {
    const taken = this.#takenBytes()
    // The size of the backlog does not count: it may grow although the receiver takes from it, and such a receiver is not stalled.
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
    // Not in this turn: a topic may be iterating over its subscribers. A leave would make it skip one, and would send the presence diff of
    // the leave to some of them before the message that is being written.
    this.#runtime.endOfTurn(() => this.#owner.overflowed())
  }

  #takenBytes(): number {
    return this.#transport.takenBytes?.() ?? this.#bytesWritten - this.#transport.backlogBytes()
  }
}
