import { computed, signal, type ReadonlySignal, type Signal } from '@preact/signals'
import type { AdminConnection } from '@tidewire/protocol'

/** So many closed connections stay in the list. */
const MOST_CLOSED = 50

/** The connections of the server, and the last ones that closed. */
export class ConnectionList {
  readonly #open: Signal<ReadonlyMap<string, AdminConnection>> = signal(new Map())
  readonly #closed: Signal<readonly AdminConnection[]> = signal([])
  readonly #more: Signal<number> = signal(0)

  /** The newest first. */
  readonly open: ReadonlySignal<readonly AdminConnection[]> = computed(() =>
    [...this.#open.value.values()].sort((a, b) => b.connectedAt - a.connectedAt || (a.id < b.id ? -1 : 1)),
  )

  /** The last that closed first. */
  get closed(): ReadonlySignal<readonly AdminConnection[]> {
    return this.#closed
  }

  /** How many the server has beyond those it listed. */
  get more(): ReadonlySignal<number> {
    return this.#more
  }

  get(id: string): AdminConnection | undefined {
    return this.#open.value.get(id) ?? this.#closed.value.find((connection) => connection.id === id)
  }

  replace(connections: readonly AdminConnection[], more: number): void {
    this.#open.value = new Map(connections.filter(({ closed }) => closed === undefined).map((each) => [each.id, each]))
    this.#more.value = more
  }

  change(connections: readonly AdminConnection[]): void {
    if (connections.length === 0) return
    const open = new Map(this.#open.value)
    const closed: AdminConnection[] = []
    for (const connection of connections) {
      if (connection.closed === undefined) open.set(connection.id, connection)
      else {
        open.delete(connection.id)
        closed.unshift(connection)
      }
    }
    this.#open.value = open
    if (closed.length === 0) return
    const ids = new Set(closed.map(({ id }) => id))
    this.#closed.value = [...closed, ...this.#closed.value.filter(({ id }) => !ids.has(id))].slice(0, MOST_CLOSED)
  }
}

/** The name of a connection: the user of its token, else the user of its channels, else its role. */
export function nameOf({ role, claims, channels }: Pick<AdminConnection, 'role' | 'claims' | 'channels'>): string {
  for (const claim of ['email', 'sub']) if (typeof claims[claim] === 'string' && claims[claim] !== '') return claims[claim]
  return channels.find(({ sub }) => sub !== null && sub !== '')?.sub ?? role ?? 'unreadable token'
}
