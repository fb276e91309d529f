import { encodeUserBroadcast, envelopeAround, type JoinRequest, type Ref, type Version } from '@tidewire/protocol'
import type { MessageStore, StoredMessage } from '../ports.ts'
import { webSocketFrame } from '../topic/websocket-frame.ts'
import type { ChannelEvent } from './channel-state.ts'

/** Fetches what a join wants replayed, as the event that the channel's machine takes (rules R1–R4). */
export async function loadReplay(store: MessageStore | null, subTopic: string, replay: JoinRequest['replay']): Promise<ChannelEvent> {
  if (replay === null || replay === 'invalid')
    return { type: 'replay-failed', reason: 'UnableToReplayMessages: Replay params are not valid' }
  if (store === null) return { type: 'replay-failed', reason: 'UnableToReplayMessages: this server has no database to replay from' }
  const result = await store.replay(subTopic, replay.since, replay.limit)
  return result.ok ? { type: 'replay-loaded', messages: result.messages } : { type: 'replay-failed', reason: result.reason }
}

/** A replayed message as a frame for one channel: JSON goes as text, binary as kind 4, to 2.0.0 only (rule R3). */
export function replayMessage(version: Version, joinRef: Ref, topic: string, stored: StoredMessage): Buffer {
  const { id, event, encoding, bytes } = stored
  if (encoding === 'binary')
    return version === '2.0.0'
      ? webSocketFrame(2, encodeUserBroadcast(topic, { event, metadata: { replayed: true, id }, encoding, bytes }))
      : Buffer.alloc(0)
  // The stored text goes in as it is, so that numbers keep their digits.
  const { head, tail } = envelopeAround(version, topic, 'broadcast', joinRef)
  const before = `${head}{"event":${JSON.stringify(event)},"meta":${JSON.stringify({ id, replayed: true })},"payload":`
  return webSocketFrame(1, Buffer.from(before), bytes, Buffer.from(`,"type":"broadcast"}${tail}`))
}
