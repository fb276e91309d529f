import type { RealtimeError } from '@tidewire/protocol'
import type { OutgoingMessage, RealtimeChannelSendResponse, SendOptions } from './channel-options.ts'
import { sendOverHttp, type HttpTarget } from './http.ts'
import type { Membership } from './membership.ts'
import type { ChannelHost } from './ports.ts'

/** As `RealtimeChannel.send` says. */
export async function send(
  target: HttpTarget,
  host: ChannelHost,
  membership: Membership,
  message: OutgoingMessage,
  { timeout }: SendOptions,
): Promise<RealtimeChannelSendResponse> {
  const isBroadcast = message.type === 'broadcast'
  if (isBroadcast && message.persist && !(target.private && membership.canPush && host.options.version !== '1.0.0')) {
    host.warn('`persist` needs a joined private channel and version 2.0.0.')
    return 'error'
  }
  const payload = isBroadcast && message.payload === undefined ? { ...message, payload: {} } : message
  try {
    if (isBroadcast && !membership.canPush) return await sendOverHttp(target, host, message, timeout)
    if (isBroadcast && membership.config.broadcast?.ack !== true) membership.write('broadcast', payload)
    else await membership.push({ event: message.type, payload, timeoutMs: timeout ?? membership.joinTimeoutMs })
    return 'ok'
  } catch (error) {
    return responseOf(error as RealtimeError)
  }
}

/** The response for an error. Misuse is thrown instead. */
function responseOf(error: RealtimeError): RealtimeChannelSendResponse {
  switch (error.code) {
    case 'timeout':
    case 'connection-lost':
      return 'timed out'
    case 'not-serializable':
    case 'name-too-long':
    case 'not-joined':
      throw error
    default:
      return 'error'
  }
}
