import type { ChangesFaultCode } from '../faults/changes-fault.ts'
import type { GapReason } from '../faults/gap-reason.ts'

/** Payload of `system`: a notice about a channel that answers no push. The members after `channel` are Tidewire's own. */
export interface SystemPayload {
  readonly message: string
  readonly status: 'ok' | 'error'
  readonly extension: 'postgres_changes' | 'broadcast' | 'system'
  /** The sub-topic; absent in messages to the whole socket. */
  readonly channel?: string
  /** Why row changes do not flow, and what mends it (rule D17). */
  readonly code?: ChangesFaultCode
  readonly hint?: string
  /** A warning: some changes are withheld, the others come (rule D15). */
  readonly live?: boolean
  /** The position to resume from (rule D12). */
  readonly position?: string
  /** The answer to a join with `since`. */
  readonly recovered?: boolean
  /** Changes may be missing although nothing was lost on the way (rule D16). */
  readonly resync?: boolean
  /** Why, with `recovered: false` and `resync`. */
  readonly reason?: GapReason
  /** Broadcasts may have been missed (rule B12). */
  readonly gap?: BroadcastGap
}

/**
 * Why broadcasts may have been missed. `relay-lost`: messages between nodes were lost, or the way to the other nodes was down.
 * `relay-unconfirmed`: the channel joined before the messages of other nodes were known to come.
 */
export type BroadcastGap = 'relay-lost' | 'relay-unconfirmed'
