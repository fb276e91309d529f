import type { RealtimeChannelOptions, Rejoin, UntypedDatabase, UntypedEvents, UntypedRow } from '@tidewire/client'
import { useEffect, useMemo, useSyncExternalStore } from 'react'
import { CLOSED, type ChannelStatus } from './live-channel.ts'
import { liveChannelsOf } from './live-channels.ts'
import { useRealtime } from './provider.ts'
import { channelKey, channelRefOf, SharedChannel } from './shared-channel.ts'
import { useLatest } from './use-latest.ts'

const DEFAULTS: RealtimeChannelOptions = { config: {} }

/**
 * The channel of a topic, joined while the component is mounted. Components that ask for the same topic with equal
 * options share one; the last one to unmount leaves it. The same object as long as topic and options stay equal.
 */
export function useChannel<Events extends object = UntypedEvents, Meta extends object = UntypedRow, Database = UntypedDatabase>(
  topic: string,
  options: RealtimeChannelOptions = DEFAULTS,
): SharedChannel<Events, Meta, Database> {
  const client = useRealtime()
  const key = channelKey(topic, options)
  const latest = useLatest(options)
  const channel = useMemo(
    () => new SharedChannel<Events, Meta, Database>(liveChannelsOf(client), topic, () => latest.current, key),
    [client, topic, key, latest],
  )
  useEffect(() => channelRefOf(channel).join(), [channel])
  return channel
}

/** Whether the channel is joined, and if not, why. On the server it is closed. */
export function useChannelStatus<Events extends object, Meta extends object, Database>(
  channel: SharedChannel<Events, Meta, Database>,
): ChannelStatus {
  const { watchStatus, status } = channelRefOf(channel)
  return useSyncExternalStore(watchStatus, status, () => CLOSED)
}

/** Calls after each rejoin that may have missed something: fetch again here. */
export function useGap<Events extends object, Meta extends object, Database>(
  channel: SharedChannel<Events, Meta, Database>,
  handler: (rejoin: Rejoin) => void,
): void {
  const latest = useLatest(handler)
  useEffect(() => channelRefOf(channel).listen({ type: 'rejoin' }, (rejoin: Rejoin) => latest.current(rejoin)), [channel, latest])
}
