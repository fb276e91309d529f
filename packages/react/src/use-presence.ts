import type { Presence, PresenceSnapshot, RealtimeChannelSendResponse } from '@tidewire/client'
import { useCallback, useEffect, useRef, useSyncExternalStore } from 'react'
import { NO_PRESENCES } from './live-channel.ts'
import { channelRefOf, type SharedChannel } from './shared-channel.ts'

/** A member. Several may share a key: a user with two tabs. */
export interface Member<Meta extends object> {
  readonly key: string
  /** Names this one presence; fit for React's `key`. */
  readonly ref: string
  /** The payload that it tracks. */
  readonly meta: Meta
}

/** The options of {@link usePresence}. */
export interface UsePresenceOptions<Meta extends object> {
  /** Tracked when the component is mounted. Read once. */
  readonly initial?: Meta
}

/** The members of a channel, and the functions to be one of them. */
export interface UsePresenceResult<Meta extends object> {
  /** All members, this client included. The same array until one changes, and the same object for a member that did not. */
  readonly members: readonly Member<Meta>[]
  /** Shows this client to the others, over reconnects, until `untrack` or the component unmounts. Always the same function. */
  readonly track: (meta: Meta) => Promise<RealtimeChannelSendResponse>
  readonly untrack: () => Promise<RealtimeChannelSendResponse>
}

/** The members of the channel; tracks this client where asked. A channel has one presence: of several components that track, the last one's is shown. */
export function usePresence<Events extends object, Meta extends object, Database>(
  channel: SharedChannel<Events, Meta, Database>,
  options: UsePresenceOptions<Meta> = {},
): UsePresenceResult<Meta> {
  const ref = channelRefOf(channel)
  const snapshot = useSyncExternalStore(ref.watchPresences, ref.presences, () => NO_PRESENCES)
  // Kept over remounts and other channels. The ref object itself identifies this component to the channel.
  const tracked = useRef<Meta | undefined>(options.initial)
  useEffect(
    () =>
      ref.hold((live) => {
        if (tracked.current !== undefined) live.remember(tracked, tracked.current)
        return () => live.forget(tracked)
      }),
    [ref],
  )
  const track = useCallback(
    (meta: Meta) => {
      tracked.current = meta
      return ref.ask((live) => live.track(tracked, meta))
    },
    [ref],
  )
  const untrack = useCallback(() => {
    tracked.current = undefined
    return ref.ask((live) => live.untrack(tracked))
  }, [ref])
  return { members: membersOf<Meta>(snapshot), track, untrack }
}

const lists = new WeakMap<PresenceSnapshot, readonly Member<object>[]>()
const members = new WeakMap<Presence, Member<object>>()

function membersOf<Meta extends object>(snapshot: PresenceSnapshot): readonly Member<Meta>[] {
  let list = lists.get(snapshot)
  if (list === undefined) {
    list = Object.entries(snapshot).flatMap(([key, presences]) => presences.map((presence) => memberOf(key, presence)))
    lists.set(snapshot, list)
  }
  return list as readonly Member<Meta>[]
}

function memberOf(key: string, presence: Presence): Member<object> {
  const known = members.get(presence)
  if (known !== undefined) return known
  const { presence_ref: ref, ...meta } = presence
  const member = { key, ref, meta }
  members.set(presence, member)
  return member
}
