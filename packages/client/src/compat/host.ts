import { RealtimeError } from '@tidewire/protocol'
import type { ChannelHost } from '../channel/ports.ts'

const hosts = new WeakMap<object, ChannelHost>()

/** Makes a client one that `new RealtimeChannel(topic, params, client)` takes, as programs for realtime-js write it. */
export function setHost(client: object, host: ChannelHost): void {
  hosts.set(client, host)
}

/** What channels need of the client. Throws a RealtimeError (`bad-argument`) for everything else. */
export function hostOf(client: object): ChannelHost {
  const host = hosts.get(client)
  if (host === undefined) throw new RealtimeError('bad-argument', 'A channel needs a RealtimeClient.')
  return host
}
