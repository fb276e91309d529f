import type { Ref } from '@tidewire/protocol'
import type { StoredMessage } from '../ports.ts'
import type { Reads } from '../topic/subscriber.ts'
import type { Topic } from '../topic/topic.ts'
import { NO_DATABASE } from './change-subscription.ts'
import type { JoinedChannel } from './joined-channel.ts'
import { presenceState } from './events/presence.ts'
import { replayMessage } from './replay.ts'

export interface AcceptedJoin {
  readonly ref: Ref
  /** The channel that this one replaces. */
  readonly replaces: { sendClose(): void } | null
  readonly reads: Reads
  readonly replay: readonly StoredMessage[]
  /** The entries of row changes, as the reply echoes them. */
  readonly changes: readonly unknown[]
  /** The relay has confirmed the topic, or there are no other nodes. */
  readonly isRelayed: boolean
}

/** Answers a join that succeeded, and sends what follows the reply, in the order that clients rely on. */
export function acceptJoin(channel: JoinedChannel, topic: Topic, { ref, replaces, reads, replay, changes, isRelayed }: AcceptedJoin): void {
  const { services, request, writer } = channel
  services.observer.joined(channel.connection.id, topic.name, request.private)
  writer.reply(ref, 'ok', { postgres_changes: changes })
  replaces?.sendClose()
  if (request.presenceEnabled && reads.presence) writer.pushText('presence_state', presenceState(channel))
  for (const message of replay) writer.frame(replayMessage(channel.version, channel.joinRef, topic.name, message))
  if (request.replicationReady) {
    if (services.changeFeed === null) writer.system('error', 'system', NO_DATABASE)
    else writer.system('ok', 'system', 'Replication connection established')
  }
  if (!isRelayed) channel.notifyGap('relay-unconfirmed')
  writer.release()
}
