import { isJsonObject, type ClientFrame } from '@tidewire/protocol'
import type { JoinedChannel } from '../joined-channel.ts'
import { report } from '../refusals.ts'

/** An `access_token` push. A new token costs as much as a join, so it counts as one. */
export function accessToken(channel: JoinedChannel, frame: ClientFrame): void {
  const { connection } = channel
  const token = tokenOf(frame)
  if (token === null || token === channel.token) return void connection.allowIdleFrame()
  if (connection.rates.allowJoin()) return channel.renew(token)
  report(channel, 'push-refused', 'too-many-joins', 'Too many tokens per second')
  connection.closeForJoins()
}

/** `null` where the push is to be ignored: no string, or an opaque API key (rule A3). */
function tokenOf({ payload }: ClientFrame): string | null {
  const token = payload.kind === 'json' && isJsonObject(payload.value) ? payload.value['access_token'] : null
  return typeof token === 'string' && !token.startsWith('sb_') ? token : null
}
