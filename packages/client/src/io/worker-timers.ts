import { RealtimeError } from '@tidewire/protocol'
import type { WorkerTimers } from '../runtime.ts'

/** How often the worker ticks. Hidden pages may slow their own timers down to one a minute. */
const TICK_MS = 1000

/** Answers `{ event: 'start', interval }` with `{ event: 'keepAlive' }` at that interval. */
const SCRIPT = 'onmessage=({data})=>{data.event==="start"&&setInterval(()=>postMessage({event:"keepAlive"}),data.interval)}'

/**
 * Timers that fire in time in hidden pages: each tick of the worker also fires timers that are overdue on the page. Should the
 * worker fail, the page's own timers go on alone.
 */
export function workerTimers({
  url,
  failed,
}: {
  readonly url: string | undefined
  readonly failed: (cause: unknown) => void
}): WorkerTimers {
  if (typeof Worker === 'undefined') throw new RealtimeError('bad-option', 'Web Worker is not supported')
  const due = new Map<() => void, number>()
  const objectUrl = url === undefined ? URL.createObjectURL(new Blob([SCRIPT], { type: 'application/javascript' })) : undefined
  const worker = new Worker(url ?? objectUrl!)
  const stop = (): void => {
    worker.terminate()
    if (objectUrl !== undefined) URL.revokeObjectURL(objectUrl)
  }
  worker.onerror = (event) => {
    stop()
    failed(event)
  }
  worker.onmessage = () => {
    const nowMs = Date.now()
    for (const [fire, atMs] of due) if (atMs <= nowMs) fire()
  }
  worker.postMessage({ event: 'start', interval: TICK_MS })
  return {
    worker,
    stop,
    setTimer(run, afterMs) {
      const cancel = (): void => {
        clearTimeout(timer)
        due.delete(fire)
      }
      const fire = (): void => {
        cancel()
        run()
      }
      const timer = setTimeout(fire, afterMs)
      due.set(fire, Date.now() + afterMs)
      return { cancel }
    },
  }
}
