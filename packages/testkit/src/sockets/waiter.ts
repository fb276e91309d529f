/** Resolves with the first value that `read` finds, asked again whenever `changed` is called. Rejects after `withinMs`. */
export class Waiter {
  readonly #waiting = new Set<() => void>()

  /** To be called when something came. */
  readonly changed = (): void => {
    for (const check of this.#waiting) check()
  }

  until<T>(read: () => T | undefined | false, withinMs = 5_000): Promise<T> {
    const trace = new Error(`nothing came within ${withinMs} ms`)
    return new Promise((resolve, reject) => {
      const check = (): void => {
        const value = read()
        if (value === undefined || value === false) return
        clearTimeout(late)
        this.#waiting.delete(check)
        resolve(value)
      }
      const late = setTimeout(() => {
        this.#waiting.delete(check)
        reject(trace)
      }, withinMs)
      this.#waiting.add(check)
      check()
    })
  }
}

/** Resolves once `read` is true, which is asked again every 5 ms: for state that notifies of nothing. Rejects after `withinMs`. */
export async function eventually(read: () => boolean, withinMs = 10_000): Promise<void> {
  const waiter = new Waiter()
  const asking = setInterval(waiter.changed, 5)
  try {
    await waiter.until(read, withinMs)
  } finally {
    clearInterval(asking)
  }
}
