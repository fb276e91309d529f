import type { Lsn } from '../lsn.ts'
import type { TableGap } from '../published-relations.ts'
import { faultOf } from '../replication-fault.ts'
import type { ReplicationReceiver, ReplicationSession } from '../replication-port.ts'
import type { ChangeSourceHandlers } from './change-source-api.ts'

/** Asks the server now and then how far it is, and whether its slots and publications are still the same. */
export class ServerChecks {
  readonly #receiver: ReplicationReceiver
  readonly #handlers: ChangeSourceHandlers
  #session: ReplicationSession | null = null
  #checking: ReplicationSession | null = null
  peers: readonly string[] = []
  serverLsn: Lsn = 0n

  constructor(receiver: ReplicationReceiver, handlers: ChangeSourceHandlers) {
    this.#receiver = receiver
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
        ({ serverLsn, gaps, peers }) => {
          if (session !== this.#session) return
          this.serverLsn = serverLsn
          const isNews = peers.join() !== this.peers.join()
          this.peers = peers
          if (isNews) this.#handlers.onPeers?.(peers)
          this.reportGaps(gaps)
        },
        (error: unknown) => {
          if (session === this.#session) this.#receiver.failed(faultOf(error))
        },
      )
  }

  /** Hands over what came before the gaps, then reports them. */
  reportGaps(gaps: readonly TableGap[]): void {
    if (gaps.length > 0) this.#receiver.drained()
    for (const gap of gaps) this.#handlers.onTableGap?.(gap)
  }
}
