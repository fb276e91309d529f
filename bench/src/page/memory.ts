import { sendBurst } from '@tidewire/testkit'
import type { CDPSession, Page } from 'playwright-core'

export interface PageMemory {
  /** Messages of one burst. */
  readonly messages: number
  /** Of the page's JavaScript after forced collection: with a full log, and after each burst. */
  readonly heapMb: readonly number[]
}

const BURSTS = 3

/** What the page keeps of bursts: it is a plateau where the log lets go of as much as it takes. */
export async function measureMemory(page: Page, url: string, key: string, messages: number): Promise<PageMemory> {
  const session = await page.context().newCDPSession(page)
  await session.send('HeapProfiler.enable')
  const heapMb = [await heapOf(session)]
  for (let burst = 0; burst < BURSTS; burst++) {
    await sendBurst(url, key, messages)
    heapMb.push(await heapOf(session))
    console.error(`after ${burst + 1} × ${messages.toLocaleString('en')} messages: ${heapMb.at(-1)!.toFixed(1)} MB`)
  }
  await session.detach()
  return { messages, heapMb }
}

async function heapOf(session: CDPSession): Promise<number> {
  // What is only reached through weak references goes at the second time.
  for (let time = 0; time < 2; time++) await session.send('HeapProfiler.collectGarbage')
  const { usedSize } = await session.send('Runtime.getHeapUsage')
  return usedSize / 2 ** 20
}
