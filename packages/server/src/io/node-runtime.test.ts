import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { describe, expect, test, vi } from 'vitest'
import { nodeRuntime } from './node-runtime.ts'

describe('nodeRuntime', () => {
  test('a timer fires once, after its time', async () => {
    const runtime = nodeRuntime()
    const started = runtime.uptime()
    await new Promise<void>((resolve) => runtime.setTimer(resolve, 20))
    expect(runtime.uptime() - started).toBeGreaterThanOrEqual(19)
  })

  test('a cancelled timer does not fire', async () => {
    const runtime = nodeRuntime()
    let fired = false
    runtime.setTimer(() => (fired = true), 5).cancel()
    await new Promise<void>((resolve) => runtime.setTimer(resolve, 20))
    expect(fired).toBe(false)
  })

  test('a timer of years does not fire at once, fires in its year, and can be cancelled on the way', () => {
    vi.useFakeTimers()
    try {
      const yearMs = 365 * 86_400_000
      const runtime = nodeRuntime()
      let fired = 0
      runtime.setTimer(() => fired++, yearMs)
      const cancelled = runtime.setTimer(() => (fired += 100), yearMs)
      vi.advanceTimersByTime(60 * 86_400_000)
      expect(fired).toBe(0)
      cancelled.cancel()
      vi.advanceTimersByTime(yearMs - 60 * 86_400_000 - 1)
      expect(fired).toBe(0)
      vi.advanceTimersByTime(1)
      expect(fired).toBe(1)
      runtime.setTimer(() => fired++, Infinity)
      vi.advanceTimersByTime(yearMs)
      expect(fired).toBe(1)
      vi.clearAllTimers()
    } finally {
      vi.useRealTimers()
    }
  })

  test('the end of the turn comes after all promises and ticks that are queued in it', async () => {
    const runtime = nodeRuntime()
    const order: string[] = []
    await new Promise<void>((resolve) => {
      runtime.endOfTurn(() => {
        order.push('end')
        resolve()
      })
      queueMicrotask(() => order.push('microtask'))
      process.nextTick(() => order.push('tick'))
    })
    expect(order.at(-1)).toBe('end')
    expect(order).toHaveLength(3)
  })

  test('utilization is higher when busy than when idle', async () => {
    const runtime = nodeRuntime()
    await new Promise<void>((resolve) => runtime.setTimer(resolve, 200))
    const idle = runtime.loopUtilization()
    const until = runtime.uptime() + 150
    while (runtime.uptime() < until);
    const busy = runtime.loopUtilization()
    expect(busy).toBeGreaterThan(0.5)
    expect(busy).toBeGreaterThan(idle)
  })

  test('random bytes have the size that was asked for and differ', () => {
    const runtime = nodeRuntime()
    expect(runtime.randomBytes(16)).toHaveLength(16)
    expect(runtime.randomBytes(16)).not.toEqual(runtime.randomBytes(16))
  })

  test('an armed timer keeps no process alive', async () => {
    const module = fileURLToPath(new URL('node-runtime.ts', import.meta.url))
    const script = `import(${JSON.stringify(module)}).then(({ nodeRuntime }) => nodeRuntime().setTimer(() => {}, 60_000))`
    const child = spawn(process.execPath, ['--import', 'tsx', '-e', script], { stdio: 'inherit' })
    const [code] = (await once(child, 'exit', { signal: AbortSignal.timeout(15_000) })) as [number]
    expect(code).toBe(0)
  })
})
