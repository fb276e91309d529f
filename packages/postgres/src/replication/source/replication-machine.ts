import type { Lsn } from '../lsn.ts'
import type { ReplicationStatus } from '../pgoutput/stream-message.ts'
import type { ReplicationFault } from '../replication-fault.ts'
import type { SlotFacts } from '../replication-port.ts'
import type { ChangeSourceStatus, NewEpoch } from './change-source-api.ts'

export interface Progress {
  /** `null` until the first slot was found or made. */
  readonly epoch: string | null
  /** Names the log that the positions are in; `null` until the first connection. */
  readonly log: string | null
  /** Everything before this was received and handed over; where a new connection goes on. */
  readonly received: Lsn
  readonly flushed: Lsn
}

interface Open {
  readonly progress: Progress
  readonly attempt: number
  /** The consumer keeps the socket from being read, so that silence means nothing. */
  readonly paused: boolean
}

export interface Connecting extends Open {
  readonly kind: 'connecting'
}

export interface Streaming extends Open {
  readonly kind: 'streaming'
  readonly inTransaction: boolean
  /** Status messages sent since the server was last heard. */
  readonly unheard: number
  /** A report of the flushed position is due. */
  readonly reporting: boolean
}

export interface Waiting extends Open {
  readonly kind: 'waiting'
  readonly fault: ReplicationFault
}

export type OpenState = Connecting | Streaming | Waiting

export type ReplicationState = OpenState | { readonly kind: 'closed'; readonly progress: Progress }

export type ReplicationTimer = 'status' | 'nudge' | 'report' | 'check' | 'advance' | 'retry'

export type ReplicationEvent =
  | ({ readonly type: 'attached' } & SlotFacts)
  /** The connection was lost or could not be made. `jitter` is a random number from 0 to 1. */
  | { readonly type: 'failed'; readonly fault: ReplicationFault; readonly jitter: number }
  | { readonly type: 'heard' }
  | { readonly type: 'begun' }
  | { readonly type: 'committed'; readonly endLsn: Lsn }
  | { readonly type: 'keepalive'; readonly end: Lsn; readonly replyRequested: boolean }
  | { readonly type: 'confirmed'; readonly epoch: string; readonly lsn: Lsn }
  | { readonly type: 'paused' }
  | { readonly type: 'resumed' }
  | { readonly type: 'timer'; readonly timer: ReplicationTimer; readonly jitter: number }
  | { readonly type: 'close' }

export type ReplicationEffect =
  /** Connect, find or make the slot. `replaceSlot`: the one of the last attempt will not do. */
  | { readonly type: 'attach'; readonly replaceSlot: boolean }
  | { readonly type: 'start'; readonly from: Lsn }
  /** `polite`: say goodbye, so that the slot is free at once. */
  | { readonly type: 'detach'; readonly polite: boolean }
  | { readonly type: 'check' }
  | { readonly type: 'advance' }
  | ({ readonly type: 'send-status' } & ReplicationStatus)
  | { readonly type: 'set-timer'; readonly timer: ReplicationTimer; readonly afterMs: number }
  | { readonly type: 'clear-timer'; readonly timer: ReplicationTimer }
  | ({ readonly type: 'announce-epoch' } & NewEpoch)
  | { readonly type: 'announce-status'; readonly status: ChangeSourceStatus }
