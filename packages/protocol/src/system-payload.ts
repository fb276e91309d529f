import type { ChangesFaultCode } from './changes-fault.ts'
import type { GapReason } from './gap-reason.ts'

/** Payload of `system`: what the server has to say about a channel outside of replies. All after `channel` is Tidewire's own. */
export interface SystemPayload {
  readonly message: string
  readonly status: 'ok' | 'error'
  readonly extension: 'postgres_changes' | 'system'
  /** The sub-topic; absent in messages to the whole socket. */
  readonly channel?: string
  /** Why row changes do not flow, and what mends it (rule D17). */
  readonly code?: ChangesFaultCode
  readonly hint?: string
  /** A warning: some changes are withheld, the others come (rule D15). */
  readonly live?: boolean
  /** Where to resume from (rule D12). */
  readonly position?: string
  /** The answer to a join with `since`. */
  readonly recovered?: boolean
  /** Changes may be missing although nothing was lost on the way (rule D16). */
  readonly resync?: boolean
  /** Why, with `recovered: false` and `resync`. */
  readonly reason?: GapReason
}
