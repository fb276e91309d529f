import type { BroadcastMessage, RealtimeChannelSendResponse } from '@tidewire/client'
import { useCallback, useEffect } from 'react'
import { channelRefOf, type SharedChannel } from './shared-channel.ts'
import { useLatest } from './use-latest.ts'

type EventOf<Events> = keyof Events & string
type AnyMessage<Events> = { [Event in EventOf<Events>]: BroadcastMessage<Events[Event], Event> }[EventOf<Events>]

/** Sends a broadcast of one event; see `SharedChannel.send`. */
export type Send<Payload> = (payload: Payload) => Promise<RealtimeChannelSendResponse>

/**
 * Listens to the broadcasts of one event, or of all (`*`), while the component is mounted. The handler may change at
 * each render. Returns the function that sends the event, always the same one.
 */
export function useBroadcast<Events extends object, Meta extends object, Database, Event extends EventOf<Events>>(
  channel: SharedChannel<Events, Meta, Database>,
  event: Event,
  handler?: (message: BroadcastMessage<Events[Event], Event>) => void,
): Send<Events[Event]>
/** Listens to the broadcasts of all events while the component is mounted. */
export function useBroadcast<Events extends object, Meta extends object, Database>(
  channel: SharedChannel<Events, Meta, Database>,
  event: '*',
  handler: (message: AnyMessage<Events>) => void,
): void
export function useBroadcast(channel: SharedChannel, event: string, handler?: (message: never) => void): Send<unknown> {
  const latest = useLatest(handler)
  const hears = handler !== undefined
  useEffect(() => {
    if (!hears) return undefined
    return channelRefOf(channel).listen({ type: 'broadcast', event }, (message) => latest.current?.(message))
  }, [channel, event, hears, latest])
  return useCallback((payload) => channel.send(event, payload), [channel, event])
}
