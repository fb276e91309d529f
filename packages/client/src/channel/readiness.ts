import { RealtimeError } from '@tidewire/protocol'

/** Those who wait for a channel to be ready. Each hears exactly once. */
export class Readiness {
  readonly #waiters = new Set<(error?: Error) => void>()

  /** Rejects with `timeout` after `timeoutMs`, with `aborted` when `signal` aborts, and with what `settle` is given. */
  wait(
    clock: { setTimer(afterMs: number, run: () => void): () => void },
    topic: string,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const hear = (error?: Error): void => {
        stopTimer()
        signal?.removeEventListener('abort', onAbort)
        this.#waiters.delete(hear)
        if (error === undefined) resolve()
        else reject(error)
      }
      const onAbort = (): void => hear(new RealtimeError('aborted', 'The wait was aborted.', { cause: signal!.reason }))
      const isLate = (): void => hear(new RealtimeError('timeout', `${topic} was not ready within ${timeoutMs} ms.`, { retryable: true }))
      const stopTimer = clock.setTimer(timeoutMs, isLate)
      this.#waiters.add(hear)
      if (signal?.aborted === true) onAbort()
      else signal?.addEventListener('abort', onAbort)
    })
  }

  settle(error?: Error): void {
    for (const hear of this.#waiters) hear(error)
  }
}
