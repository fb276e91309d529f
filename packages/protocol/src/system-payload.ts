/** Payload of `system`: what the server has to say about a channel outside of replies. */
export interface SystemPayload {
  readonly message: string
  readonly status: 'ok' | 'error'
  readonly extension: 'postgres_changes' | 'broadcast' | 'system'
  /** The sub-topic; absent in messages to the whole socket. */
  readonly channel?: string
  /** Broadcasts may have been missed (rule B11). */
  readonly gap?: GapReason
}

/**
 * Why broadcasts may have been missed. `relay-lost`: messages between nodes were lost, or the way to the other nodes was down.
 * `relay-unconfirmed`: the channel joined before the messages of other nodes were known to come.
 */
export type GapReason = 'relay-lost' | 'relay-unconfirmed'
