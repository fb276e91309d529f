import { PHOENIX_TOPIC, type ClientFrame, type Ref } from '@tidewire/protocol'

/** A connection that answers frames for which it has no channel. */
export interface IdleConnection {
  /** Unix milliseconds. */
  lastHeartbeatAt: number | null
  readonly services: { readonly runtime: { now(): number } }
  reply(joinRef: Ref, ref: Ref, topic: string, status: 'ok' | 'error', response: unknown): void
}

/** Answers a frame for no channel and no inspector: a heartbeat, a leave of an ended channel, or a push to a topic not joined. */
export function answerIdleFrame(connection: IdleConnection, { topic, event, joinRef, ref }: ClientFrame): void {
  if (topic === PHOENIX_TOPIC && event === 'heartbeat') {
    connection.lastHeartbeatAt = connection.services.runtime.now()
    connection.reply(null, ref, topic, 'ok', {})
  } else if (event === 'phx_leave') connection.reply(joinRef, ref, topic, 'ok', {})
  else connection.reply(null, ref, topic, 'error', { reason: 'unmatched topic' })
}
