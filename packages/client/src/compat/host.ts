import { RealtimeError } from '@tidewire/protocol'
import type { ChannelHost } from '../channel/ports.ts'

/** A property, not a WeakMap: a client may be behind a proxy of Vue or MobX. */
const HOST = Symbol('host')

/** Makes a client one that `new RealtimeChannel(topic, params, client)` takes, as programs for realtime-js write it. */
export function setHost(client: object, host: ChannelHost): void {
  Object.assign(client, { [HOST]: host })
}

/** The client, as channels need it. Throws a RealtimeError (`bad-argument`) for everything else. */
export function hostOf(client: object): ChannelHost {
  const { [HOST]: host } = client as { readonly [HOST]?: ChannelHost }
  if (host === undefined) throw new RealtimeError('bad-argument', 'A channel needs a RealtimeClient.')
  return host
}
