import { RealtimeError } from '@tidewire/protocol'

/** How an iteration ends, and how it buffers. */
export interface IterationOptions {
  /** Ends the iteration. */
  signal?: AbortSignal
  /** How many items may wait to be taken. Default 1000. */
  buffer?: number
  /** How an item beyond the buffer is handled: the iteration fails with `buffer-overflow` (default), or the oldest or newest is dropped. */
  overflow?: 'error' | 'drop-oldest' | 'drop-newest'
}

/**
 * Turns a listener into an iterator. `start` is called at once with what takes an item, what ends the iteration, and a
 * signal that aborts when it is over; it returns what is to be done when an item is first awaited.
 */
export function iterate<Item>(
  options: IterationOptions = {},
  start: (take: (item: Item) => void, end: () => void, over: AbortSignal) => () => unknown,
): AsyncIterableIterator<Item> {
  const { signal, buffer = 1000, overflow = 'error' } = options
  const over = new AbortController()
  let items: Item[] = []
  let failure: RealtimeError | undefined
  let waiting: ((result: IteratorResult<Item>) => void)[] = []

  const end = (error?: RealtimeError): void => {
    if (over.signal.aborted) return
    failure = error
    signal?.removeEventListener('abort', onAbort)
    over.abort()
    for (const resolve of waiting) resolve({ done: true, value: undefined })
    waiting = []
  }
  const onAbort = (): void => {
    items = []
    end()
  }
  const take = (item: Item): void => {
    const resolve = waiting.shift()
    if (resolve !== undefined) return resolve({ done: false, value: item })
    if (items.length < buffer) items.push(item)
    else if (overflow === 'error') end(new RealtimeError('buffer-overflow', `More than ${buffer} items waited.`))
    else if (overflow === 'drop-oldest') items = [...items.slice(1), item]
  }
  const first = start(take, end, over.signal)
  let isFirst = true
  signal?.addEventListener('abort', onAbort)
  if (signal?.aborted === true) onAbort()

  return {
    next() {
      if (items.length > 0) return Promise.resolve({ done: false, value: items.shift()! })
      if (failure !== undefined) {
        const error = failure
        failure = undefined
        return Promise.reject(error)
      }
      if (over.signal.aborted) return Promise.resolve({ done: true, value: undefined })
      if (isFirst) {
        isFirst = false
        first()
      }
      return new Promise((resolve) => waiting.push(resolve))
    },
    return() {
      onAbort()
      return Promise.resolve({ done: true, value: undefined })
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
