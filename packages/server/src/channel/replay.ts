import { encodeUserBroadcast, envelopeAround, fitsUserBroadcast, type JoinRequest, type Ref, type Version } from '@tidewire/protocol'
import type { MessageStore, StoredMessage } from '../ports.ts'
import { webSocketFrame } from '../topic/websocket-frame.ts'
import type { ChannelEvent } from './channel-state.ts'

/** Fetches the stored messages that a join asks for, as an event of the channel's machine (rules R1–R4). */
export async function loadReplay(store: MessageStore | null, subTopic: string, replay: JoinRequest['replay']): Promise<ChannelEvent> {
  if (replay === null || replay === 'invalid')
    return { type: 'replay-failed', reason: 'UnableToReplayMessages: Replay params are not valid' }
  if (store === null) return { type: 'replay-failed', reason: 'UnableToReplayMessages: this server has no database to replay from' }
  const result = await store.replay(subTopic, replay.since, replay.limit)
  return result.ok
    ? { type: 'replay-loaded', messages: result.messages, position: result.position ?? null }
    : { type: 'replay-failed', reason: result.reason }
}

/**
 * A replayed message as a frame for one channel: JSON goes as text, binary as kind 4 (rule R3). `null` when it cannot be
 * sent: binary to 1.0.0, or under a name too long for a binary frame (rule N5).
 */
export function replayMessage(version: Version, joinRef: Ref, topic: string, stored: StoredMessage): Buffer | null {
  const { id, event, encoding, bytes } = stored
  if (encoding === 'binary') {
    const broadcast = { event, metadata: { replayed: true, id }, encoding, bytes }
    return version === '2.0.0' && fitsUserBroadcast(topic, broadcast) ? webSocketFrame(2, encodeUserBroadcast(topic, broadcast)) : null
  }
  // The stored text is not parsed, so that numbers keep their digits.
  const { head, tail } = envelopeAround(version, topic, 'broadcast', joinRef)
  const before = `${head}{"event":${JSON.stringify(event)},"meta":${JSON.stringify({ id, replayed: true })},"payload":`
  return webSocketFrame(1, Buffer.from(before), bytes, Buffer.from(`,"type":"broadcast"}${tail}`))
}
