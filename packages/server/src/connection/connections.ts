import { CloseCode } from '@tidewire/protocol'
import type { Connection, ConnectionHost } from './connection.ts'

/** Sockets closed at once while draining, so that not everybody comes back in the same moment. */
const DRAIN_BATCH = 1_000

/** All sockets of a server. */
export class Connections implements ConnectionHost {
  readonly #all = new Set<Connection>()
  /** Sockets with at least one channel: the users that the limit counts (rule L1). */
  readonly #users = new Set<Connection>()
  readonly #maxUsers: number
  draining = false

  constructor(maxUsers: number) {
    this.#maxUsers = maxUsers
  }

  get size(): number {
    return this.#all.size
  }

  get users(): number {
    return this.#users.size
  }

  add(connection: Connection): void {
    this.#all.add(connection)
  }

  mayJoin(): boolean {
    return this.#users.size < this.#maxUsers
  }

  channelsChanged(connection: Connection): void {
    if (connection.channelCount > 0) this.#users.add(connection)
    else this.#users.delete(connection)
  }

  closed(connection: Connection): void {
    this.#all.delete(connection)
    this.#users.delete(connection)
  }

  sweep(): void {
    for (const connection of this.#all) connection.sweep()
  }

  /** Closes the next sockets with 1012 (rule C6). Returns how many are left. */
  drain(): number {
    this.draining = true
    let left = DRAIN_BATCH
    for (const connection of this.#all) {
      if (left-- === 0) break
      connection.close(CloseCode.serviceRestart, '')
    }
    return this.#all.size
  }
}
