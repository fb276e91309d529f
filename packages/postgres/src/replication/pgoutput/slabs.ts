const SLAB_BYTES = 64 * 1024
/** Larger ones get memory of their own, so that little of a slab stays empty. */
const MAX_SHARED_BYTES = SLAB_BYTES / 8

/**
 * Memory for bytes that are dropped about in the order in which they came. They share slabs, since a buffer of its own costs more
 * than a small row. A slab stays as long as anything in it is used.
 */
export class Slabs {
  #slab: Buffer = Buffer.alloc(0)
  #used = 0

  /** Uninitialised memory, from `start` on. */
  take(bytes: number): { readonly slab: Buffer; readonly start: number } {
    if (bytes > MAX_SHARED_BYTES) return { slab: Buffer.allocUnsafeSlow(bytes), start: 0 }
    if (this.#used + bytes > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
      this.#used = 0
    }
    const start = this.#used
    this.#used += bytes
    return { slab: this.#slab, start }
  }
}
