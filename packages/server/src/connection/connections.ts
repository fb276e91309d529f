import { CloseCode, type DisconnectTarget } from '@tidewire/protocol'
import type { AdminEndpoint } from './admin-endpoint.ts'
import type { Connection, ConnectionHost } from './connection.ts'

/** All sockets of a server. */
export class Connections implements ConnectionHost {
  readonly #all = new Set<Connection>()
  /** Sockets with at least one channel: the users that the limit counts (rule L1). */
  readonly #users = new Set<Connection>()
  readonly #maxUsers: number
  draining = false
  admin: AdminEndpoint | null = null
  /** The connection that was added last, while it lasts. */
  newest: Connection | null = null

  constructor(maxUsers: number) {
    this.#maxUsers = maxUsers
  }

  get size(): number {
    return this.#all.size
  }

  get users(): number {
    return this.#users.size
  }

  all(): Iterable<Connection> {
    return this.#all
  }

  /** Takes time that grows with the number of connections: not for the path of messages. */
  find(id: string): Connection | undefined {
    for (const connection of this.#all) if (connection.id === id) return connection
    return undefined
  }

  add(connection: Connection): void {
    this.#all.add(connection)
    this.newest = connection
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
    if (this.newest === connection) this.newest = null
    this.#users.delete(connection)
    this.admin?.closed(connection)
  }

  /** Closes the connections of a target for an administrator. Returns how many. The target's node is ignored. */
  disconnect(target: DisconnectTarget): number {
    let closed = 0
    for (const connection of this.#all) {
      if (!connection.isOpen) continue
      if ('sub' in target ? !connection.actsFor(target.sub) : connection.id !== target.connection) continue
      connection.close(CloseCode.policyViolation, 'Disconnected by an administrator')
      closed++
    }
    return closed
  }

  sweep(): void {
    for (const connection of this.#all) connection.sweep()
  }

  /** Closes the next `most` open sockets with 1012 (rule C6). Returns how many sockets are left, those included that are closing. */
  drain(most: number = Infinity): number {
    this.draining = true
    let closing = 0
    for (const connection of this.#all) {
      if (!connection.isOpen) continue
      if (closing++ === most) break
      connection.close(CloseCode.serviceRestart, '')
    }
    return this.#all.size
  }
}
