import { chromiumPath, sendBurst } from '@tidewire/testkit'
import type { AdminLog } from '@tidewire/protocol'
import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import { useDevServer } from '../test/dev-server.ts'
import { visit } from '../test/visit.ts'

const MESSAGES = 1_000_000

const it = useDevServer()

test.skipIf(chromiumPath() === undefined)(
  'a million messages: each is in the log or counted as skipped, and the page goes on',
  async () => {
    const { page, complaints } = await visit(it.browser, it.server.address)
    await page.getByText('Healthy').waitFor()
    const counted = countLog(page)
    await page.reload()
    await page.getByText('Healthy').waitFor()
    await sendBurst(it.server.url, it.server.anonKey, MESSAGES)
    await expect.poll(() => counted.rows + counted.skipped, { timeout: 20_000 }).toBe(MESSAGES)
    expect(counted.skipped).toBeGreaterThan(MESSAGES / 2)
    expect(counted.rows).toBeGreaterThan(0)

    await page.locator('.entry', { hasText: 'more happened than is shown' }).last().waitFor()
    expect(await page.locator('.entry').count()).toBeLessThanOrEqual(60)
    const channel = it.server.client.channel('after', { config: { broadcast: { ack: true } } }).subscribe()
    await channel.ready({ timeout: 20_000 })
    await channel.sendBroadcast('the-end', {})
    await page.locator('.entry', { hasText: 'the-end' }).waitFor()
    expect(complaints).toEqual([])
    await page.context().close()
  },
)

/** What the page receives of the burst, on its own socket. */
function countLog(page: Page): { readonly rows: number; readonly skipped: number } {
  const counted = { rows: 0, skipped: 0 }
  page.on('websocket', (socket) =>
    socket.on('framereceived', ({ payload }) => {
      const [, , , event, log] = JSON.parse(payload.toString()) as [unknown, unknown, unknown, string, AdminLog]
      if (event !== 'admin_log') return
      counted.rows += log.rows.filter(({ kind, topic }) => kind === 'broadcast' && topic === 'burst').length
      counted.skipped += log.skipped
    }),
  )
  return counted
}
