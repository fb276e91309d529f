import {
  formatTopicKey,
  parsePresenceRequest,
  payloadBytes,
  type ClientFrame,
  type PresenceDiff,
  type PresenceMeta,
  type PresenceState,
} from '@tidewire/protocol'
import type { JoinedChannel } from '../joined-channel.ts'
import { refuse, refuseWrite } from '../refusals.ts'

/** A `presence` push: track, untrack, or a named refusal (rules P2–P6). */
export function presence(channel: JoinedChannel, frame: ClientFrame): void {
  const { connection, services } = channel
  if (!channel.presence.allowCall(services)) return channel.stop('too-many-presence-calls', 'Client presence rate limit exceeded')
  if (!connection.rates.allowPresenceEvent()) return channel.stop('too-many-presence-events', 'Too many presence messages per second')
  const asked = parsePresenceRequest(frame.payload.kind === 'json' ? frame.payload.value : undefined)
  switch (asked.kind) {
    case 'nothing':
      return channel.writer.reply(frame.ref, 'ok', {})
    case 'invalid':
      return refuse(
        channel,
        frame.ref,
        'malformed-payload',
        asked.reason ?? 'Unknown presence event',
        asked.reason === null ? {} : undefined,
      )
    case 'untrack':
      channel.presence.since = null
      channel.writer.reply(frame.ref, 'ok', {})
      return announce(channel, 'untrack', services.presence.untrack(formatTopicKey(channel.key), channel, services.runtime.uptime()))
    case 'track': {
      if (!channel.mayWrite.presence)
        return refuseWrite(
          channel,
          frame.ref,
          `Unauthorized: You do not have permissions to track presence on this Channel topic: ${channel.subTopic}`,
        )
      if (payloadBytes(frame.payload) > services.limits.maxPayloadBytes)
        return channel.stop('payload-too-large', 'Track message size exceeded')
      const bytes = payloadBytes(frame.payload)
      const diff = services.presence.track(formatTopicKey(channel.key), channel.presence.key, channel, asked.payload, bytes)
      if (diff === 'topic-full')
        return refuse(
          channel,
          frame.ref,
          'presence-full',
          `PresenceFull: more than ${services.limits.maxPresenceBytes} bytes would be tracked on this topic`,
        )
      if (diff === 'too-deep') return refuse(channel, frame.ref, 'malformed-payload', 'Presence track payload nests too deeply')
      channel.presence.since ??= services.runtime.now()
      channel.writer.reply(frame.ref, 'ok', {})
      return announce(channel, 'track', diff)
    }
  }
}

/** Untracks the entry of a channel that has ended. */
export function presenceEnds(channel: JoinedChannel): void {
  const { services } = channel
  announce(channel, 'untrack', services.presence.untrack(formatTopicKey(channel.key), channel, services.runtime.uptime()))
}

/** The key and meta that the channel tracks, or `null`. */
export function presenceOf(channel: JoinedChannel): { readonly key: string; readonly meta: PresenceMeta } | null {
  return channel.services.presence.tracked(formatTopicKey(channel.key), channel)
}

/** The presence state of the topic as JSON text. */
export function presenceState(channel: JoinedChannel): Uint8Array {
  return channel.services.presence.stateText(formatTopicKey(channel.key))
}

function announce(channel: JoinedChannel, change: 'track' | 'untrack', diff: PresenceDiff | null): void {
  if (diff === null) return
  channel.services.presenceChanged()
  if (isEmpty(diff.joins) && isEmpty(diff.leaves)) return
  const payload = Buffer.from(JSON.stringify(diff))
  const message = { kind: 'text', event: 'presence_diff', payload } as const
  channel.services.publisher.publish(channel.key, message, { kind: 'presence', change, connection: channel.connection.id })
}

function isEmpty(state: PresenceState): boolean {
  for (const _ in state) return false
  return true
}
