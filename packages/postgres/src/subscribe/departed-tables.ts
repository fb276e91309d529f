import { getOrMake } from '../catalog/multimap.ts'
import type { Subscription } from './audience.ts'
import type { FeedChannel } from './feed-channel.ts'

/** Tables that left the publication, or their name, while channels watched them. Channels are notified of it, and of a table that comes under the name again. */
export class DepartedTables {
  readonly #names = new WeakMap<FeedChannel, Set<string>>()

  leaves({ channel, tableName }: Subscription): void {
    const names = getOrMake(this.#names, channel, () => new Set<string>())
    if (names.has(tableName)) return
    names.add(tableName)
    channel.warn({
      message: `Changes of ${tableName} have stopped: the table is no longer published under this name`,
      fault: { code: 'not-published', hint: 'Changes come again by themselves when a table of this name is published.' },
    })
  }

  /** The table of the subscription has this name now. */
  rename(subscription: Subscription, tableName: string): void {
    if (subscription.tableName === tableName) return
    subscription.tableName = tableName
    this.returns(subscription)
  }

  returns({ channel, tableName }: Subscription): void {
    if (this.#names.get(channel)?.delete(tableName) !== true) return
    channel.notify('ok', `Changes of ${tableName} come again: load its data again`, { live: true, resync: true, reason: 'table-returned' })
  }
}
