import { RealtimeError, type TimerPort } from '@tidewire/protocol'

export interface Waiting {
  readonly timeoutMs: number
  /** Ends the wait only: the awaited work goes on. */
  readonly signal?: AbortSignal | undefined
}

export interface Waiter<Value> {
  readonly promise: Promise<Value>
  settle(error: RealtimeError | null, value?: Value): void
}

/**
 * A promise that settles exactly once: by `settle`, with `timeout` and the text `late` after its time, or with `aborted` by its
 * signal. `over` is called when it does. Leaves neither timer nor listener behind.
 */
export function waiter<Value>(timers: TimerPort, { timeoutMs, signal }: Waiting, late: string, over: () => void): Waiter<Value> {
  let settle!: Waiter<Value>['settle']
  const promise = new Promise<Value>((resolve, reject) => {
    const onAbort = (): void => settle(new RealtimeError('aborted', 'The wait was aborted.', { cause: signal!.reason }))
    const timer = timers.setTimer(() => settle(new RealtimeError('timeout', late, { retryable: true })), timeoutMs)
    settle = (error, value) => {
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
      over()
      if (error === null) resolve(value as Value)
      else reject(error)
    }
    signal?.addEventListener('abort', onAbort)
    if (signal?.aborted === true) queueMicrotask(onAbort)
  })
  return { promise, settle }
}
