import type { JoinRequest } from '@tidewire/protocol'
import { CallWindow } from '../limits/rate-counter.ts'
import type { Runtime } from '../ports/runtime.ts'
import type { Services } from './services.ts'

/** The presence of one channel, made with its first presence push. */
export class ChannelPresence {
  readonly key: string
  /** When the channel became present, Unix milliseconds; `null` while it is not. */
  since: number | null = null
  readonly #calls = new CallWindow()

  constructor({ presenceKey }: Pick<JoinRequest, 'presenceKey'>, runtime: Pick<Runtime, 'randomBytes'>) {
    this.key = presenceKey ?? newPresenceKey(runtime)
  }

  /** Counts a `track` or `untrack`. Returns whether it is within the limit of a channel. */
  allowCall({ limits, runtime }: Pick<Services, 'limits' | 'runtime'>): boolean {
    return this.#calls.allows(runtime.uptime(), limits.maxPresenceCallsPerWindow, limits.presenceWindowMs)
  }
}

/** The key of a channel that names none: a random UUID (version 4). */
function newPresenceKey(runtime: Pick<Runtime, 'randomBytes'>): string {
  const hex = Buffer.from(runtime.randomBytes(16))
  hex[6] = (hex[6]! & 0x0f) | 0x40
  hex[8] = (hex[8]! & 0x3f) | 0x80
  return hex.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
