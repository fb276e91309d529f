import type { BroadcastGap, Version } from '@tidewire/protocol'
import type { MessageCommit } from '../ports/log.ts'
import type { TopicMessage } from '../ports/topic.ts'

/** The two kinds of traffic on a topic that policies distinguish. */
export type Stream = 'broadcast' | 'presence'

export interface Reads {
  readonly broadcast: boolean
  readonly presence: boolean
}

/** A receiver of the messages of a topic: one channel of one connection. */
export interface Subscriber {
  readonly version: Version
  /** Takes ready WebSocket frames that hold `messages` messages; must not throw. */
  write(frames: Buffer, messages: number): void
  /** Broadcasts of other nodes may have been missed. */
  notifyGap(reason: BroadcastGap): void
}

/** Holds the stored messages that are sent while a channel is joining. */
export interface StoredMessageBuffer {
  holdStored(commit: MessageCommit | null, message: TopicMessage): void
}
