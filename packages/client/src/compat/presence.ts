import type { PresenceSnapshot } from '../listen/payloads.ts'

/** The presence of a channel, as realtime-js names it. */
export class RealtimePresence<Meta extends object> {
  readonly channel: { presenceState(): PresenceSnapshot<Meta> }

  constructor(channel: { presenceState(): PresenceSnapshot<Meta> }) {
    this.channel = channel
  }

  get state(): PresenceSnapshot<Meta> {
    return this.channel.presenceState()
  }
}
