import type { ClientFrame } from '@tidewire/protocol'
import type { JoinedChannel } from '../joined-channel.ts'
import { accessToken } from './access-token.ts'
import { broadcast } from './broadcast.ts'
import { presence } from './presence.ts'

/** A joined channel that takes frames. */
export interface ReceivingChannel extends JoinedChannel {
  /** Whether the right to send is known. If not, asks for it, and keeps the frame until the answer. */
  decided(frame: ClientFrame): boolean
  leave(): void
  rejoin(frame: ClientFrame): void
}

export function handOver(frame: ClientFrame, channel: ReceivingChannel): void {
  switch (frame.event) {
    case 'broadcast':
      if (channel.decided(frame)) broadcast(channel, frame)
      return
    case 'presence':
      if (channel.decided(frame)) presence(channel, frame)
      return
    case 'access_token':
      return accessToken(channel, frame)
    case 'phx_leave':
      // A leave of an older join is not for this one (rule J9).
      if (frame.joinRef !== null && frame.joinRef !== channel.joinRef) return void channel.connection.allowIdleFrame()
      channel.writer.reply(frame.ref, 'ok', {})
      return channel.leave()
    case 'phx_join':
      return channel.rejoin(frame)
    default:
      if (!channel.connection.rates.allowEvent()) channel.stop('too-many-events', 'Too many messages per second')
  }
}
