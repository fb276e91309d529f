import { append } from '../catalog/multimap.ts'

/** A queue that serves its origins in turns: one that asks a thousand times waits behind its own questions, not before those of others. */
export class FairLine<Item> {
  readonly #origins = new Map<unknown, Item[]>()

  push(origin: unknown, item: Item): void {
    append(this.#origins, origin, item)
  }

  putBack(origin: unknown, item: Item): void {
    this.#origins.set(origin, [item, ...(this.#origins.get(origin) ?? [])])
  }

  /** The next of the origin that was served the longest time ago. */
  take(): Item | undefined {
    for (const [origin, items] of this.#origins) {
      this.#origins.delete(origin)
      const item = items.shift()
      if (items.length > 0) this.#origins.set(origin, items)
      return item
    }
    return undefined
  }
}
