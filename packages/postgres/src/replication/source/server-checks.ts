import type { Lsn } from '../lsn.ts'
import type { TableGap } from '../published-relations.ts'
import { faultOf, type ReplicationFault } from '../replication-fault.ts'
import type { ReplicationSession } from '../replication-port.ts'

export interface ServerCheckHandlers {
  failed(fault: ReplicationFault): void
  tableGaps(gaps: readonly TableGap[]): void
  peers(peers: readonly string[]): void
}

/** Asks the server now and then how far it is, and whether its slots and publications are still the same. */
export class ServerChecks {
  readonly #handlers: ServerCheckHandlers
  #session: ReplicationSession | null = null
  #checking: ReplicationSession | null = null
  peers: readonly string[] = []
  /** What the server has written. */
  serverLsn: Lsn = 0n

  constructor(handlers: ServerCheckHandlers) {
    this.#handlers = handlers
  }

  /** Answers of other sessions than this do not count any more. */
  attach(session: ReplicationSession | null): void {
    this.#session = session
  }

  check(): void {
    const session = this.#session
    if (session === null || this.#checking === session) return
    this.#checking = session
    const done = (): void => {
      if (this.#checking === session) this.#checking = null
    }
    session
      .check()
      .finally(done)
      .then(
        ({ serverLsn, publicationsChanged, anchorLost, gaps, peers }) => {
          if (session !== this.#session) return
          this.serverLsn = serverLsn
          const isNews = peers.join() !== this.peers.join()
          this.peers = peers
          if (isNews) this.#handlers.peers(peers)
          if (publicationsChanged)
            return this.#handlers.failed({ kind: 'publication-changed', message: 'a publication was dropped or created again' })
          if (anchorLost)
            return this.#handlers.failed({
              kind: 'slot-lost',
              message: 'the anchor slot is gone, or Postgres threw away WAL that it needs',
            })
          this.#handlers.tableGaps(gaps)
        },
        (error: unknown) => {
          if (session === this.#session) this.#handlers.failed(faultOf(error))
        },
      )
  }
}
