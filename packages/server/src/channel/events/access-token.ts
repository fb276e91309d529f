import { isJsonObject, type ClientFrame } from '@tidewire/protocol'

/** The token of an `access_token` push, or `null` where the push is to be ignored: no string, or an opaque API key (rule A3). */
export function accessToken(frame: ClientFrame): string | null {
  if (frame.payload.kind !== 'json' || !isJsonObject(frame.payload.value)) return null
  const token = frame.payload.value['access_token']
  return typeof token === 'string' && !token.startsWith('sb_') ? token : null
}
