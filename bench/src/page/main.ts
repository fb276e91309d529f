/** Frame times of the inspector's page, as it is built, on a real server, with a full log. */
import { chromium, type Page } from 'playwright-core'
import { chromiumLaunchOptions } from '@tidewire/testkit'
import { startLoad } from './load.ts'
import { measureMemory, type PageMemory } from './memory.ts'
import { startPageServer } from './server.ts'

/** What is done on the page while its frames are timed. */
export const activities = ['follow', 'scroll', 'filter'] as const
export type Activity = (typeof activities)[number]

export interface PageRun {
  readonly round: number
  readonly activity: Activity
  readonly frames: number
  readonly p50Ms: number
  readonly p95Ms: number
  readonly maxMs: number
  /** Longest time that the page's thread was busy without a pause; 0 where no task took 50 ms. */
  readonly longestTaskMs: number
  readonly rowsPerSecond: number
  readonly rowsKept: number
  readonly rowsDrawn: number
  /** Of the page's JavaScript. */
  readonly heapMb: number
}

const FULL = 10_000
const FILL_TIMEOUT_MS = 90_000

export interface BenchPageOptions {
  readonly rounds: number
  readonly measureMs: number
  readonly burstMessages: number
}

/** Opens the page, fills its log, then times each activity in turn. */
export async function benchPage({
  rounds,
  measureMs,
  burstMessages,
}: BenchPageOptions): Promise<{ readonly runs: readonly PageRun[]; readonly memory: PageMemory; readonly browser: string }> {
  const server = await startPageServer()
  const browser = await chromium.launch(chromiumLaunchOptions())
  let endLoad = (): void => {}
  try {
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 } })
    await context.addInitScript((key) => sessionStorage.setItem('tidewire-admin-key', key), server.adminKey)
    // tsx wraps functions in a call of this, in those that are sent to the page too.
    await context.addInitScript('globalThis.__name = (each) => each')
    const page = await context.newPage()
    await page.goto(`${server.url}/_/`)
    await page.getByText('Healthy').waitFor()
    endLoad = await startLoad(server.url, server.anonKey)
    console.error(`filling the log with ${FULL.toLocaleString('en')} rows`)
    await page.waitForFunction((full) => Number(document.querySelector('.entry')?.getAttribute('aria-setsize')) >= full, FULL, {
      timeout: FILL_TIMEOUT_MS,
      polling: 200,
    })
    const runs: PageRun[] = []
    for (let round = 1; round <= rounds; round++)
      for (const activity of activities) {
        const run = { round, activity, ...(await measure(page, activity, measureMs)) }
        runs.push(run)
        console.error(
          `round ${round}  ${activity.padEnd(7)} p50 ${run.p50Ms.toFixed(1)} ms, p95 ${run.p95Ms.toFixed(1)} ms, longest ${run.maxMs.toFixed(1)} ms, ` +
            `${Math.round(run.rowsPerSecond)} rows/s, ${run.rowsKept} kept, ${run.rowsDrawn} drawn, ${run.heapMb.toFixed(1)} MB`,
        )
      }
    const memory = await measureMemory(page, server.url, server.anonKey, burstMessages)
    return { runs, memory, browser: browser.version() }
  } finally {
    endLoad()
    await browser.close()
    await server.stop()
  }
}

/** Runs within the page, so that nothing but the page itself is timed. */
function measure(page: Page, activity: Activity, measureMs: number): Promise<Omit<PageRun, 'round' | 'activity'>> {
  return page.evaluate(
    async ({ doing, lastsMs }) => {
      const list = document.querySelector('#log')!
      const filter = document.querySelector<HTMLInputElement>('#log-filter')!
      const type = (text: string): void => {
        filter.value = text
        filter.dispatchEvent(new Event('input', { bubbles: true }))
      }
      const lastKey = (): number => Math.max(...[...document.querySelectorAll('.entry')].map(({ id }) => Number(id.slice(6))))
      const toEnd = async (): Promise<void> => {
        list.scrollTop = list.scrollHeight
        for (let wait = 0; wait < 3; wait++) await new Promise(requestAnimationFrame)
      }
      await toEnd()
      const firstKey = lastKey()
      let longestTaskMs = 0
      const observer = new PerformanceObserver((found) => {
        for (const { duration } of found.getEntries()) longestTaskMs = Math.max(longestTaskMs, duration)
      })
      observer.observe({ entryTypes: ['longtask'] })
      const deltas: number[] = []
      let rowsDrawn = 0
      let direction = -1
      let before = await new Promise<number>(requestAnimationFrame)
      const startedAt = before
      for (let frame = 0; before - startedAt < lastsMs; frame++) {
        if (doing === 'scroll') {
          if (list.scrollTop <= 0) direction = 1
          else if (list.scrollTop + list.clientHeight >= list.scrollHeight - 1) direction = -1
          list.scrollTop += direction * (frame % 60 === 59 ? 40_000 : 240)
        } else if (doing === 'filter' && frame % 12 === 0)
          type(['', 'c', 'cu', 'cur', '"name":"nobody"', '-room', 'kind:join'][(frame / 12) % 7]!)
        const now = await new Promise<number>(requestAnimationFrame)
        deltas.push(now - before)
        before = now
        rowsDrawn = Math.max(rowsDrawn, document.querySelectorAll('.entry').length)
      }
      const seconds = (before - startedAt) / 1_000
      if (doing === 'filter') type('')
      await toEnd()
      observer.disconnect()
      const sorted = deltas.toSorted((a, b) => a - b)
      const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!
      return {
        frames: deltas.length,
        p50Ms: at(0.5),
        p95Ms: at(0.95),
        maxMs: sorted.at(-1)!,
        longestTaskMs,
        rowsPerSecond: (lastKey() - firstKey) / seconds,
        rowsKept: Number(document.querySelector('.entry')!.getAttribute('aria-setsize')),
        rowsDrawn,
        heapMb: (performance as unknown as { memory: { usedJSHeapSize: number } }).memory.usedJSHeapSize / 2 ** 20,
      }
    },
    { doing: activity, lastsMs: measureMs },
  )
}
