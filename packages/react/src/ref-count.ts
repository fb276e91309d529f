/** A component that unmounts often mounts again at once: StrictMode, a changed key, a route. */
const GRACE_MS = 100

/** Counts the users of something, and ends it a while after the last has gone. */
export class RefCount {
  readonly #end: () => void
  #count = 0
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(end: () => void) {
    this.#end = end
  }

  get isHeld(): boolean {
    return this.#count > 0
  }

  /** Returns the release; a second call of it does nothing. */
  hold(): () => void {
    clearTimeout(this.#timer)
    this.#count += 1
    let isReleased = false
    return () => {
      if (isReleased) return
      isReleased = true
      this.#count -= 1
      if (this.#count === 0) this.#timer = setTimeout(this.#end, GRACE_MS)
    }
  }

  /** Ends it at once, if it has no users. */
  endNow(): void {
    clearTimeout(this.#timer)
    if (this.#count === 0) this.#end()
  }
}
