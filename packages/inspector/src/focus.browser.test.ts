import { chromiumPath } from '@tidewire/testkit'
import type { Page } from 'playwright-core'
import { describe, expect, test } from 'vitest'
import { useDevServer } from '../test/dev-server.ts'
import { returning, visit } from '../test/visit.ts'

/** The name of what has the focus, as it is read out; BODY where nothing has it. */
function focusedName(page: Page): Promise<string> {
  return page.evaluate(() => {
    const element = document.activeElement!
    return element === document.body ? 'BODY' : (element.getAttribute('aria-label') ?? element.textContent).trim()
  })
}

/** What has the focus goes away while the page is used with the keyboard. */
describe.skipIf(chromiumPath() === undefined)('the focus', () => {
  const it = useDevServer('create table todos (id int primary key, title text)')

  test('goes to the next topic when the one that has it loses its last member, and to the filter after the last', async () => {
    const { page, complaints } = await visit(it.browser, it.server.address, returning)
    await page.getByText('Healthy').waitFor()
    const [first, second, third] = ['first', 'second', 'third'].map((name) => it.server.client.channel(name).subscribe())
    for (const channel of [first, second, third]) await channel!.ready({ timeout: 20_000 })
    const topics = page.getByRole('navigation', { name: 'Topics' })
    await topics.getByRole('button', { name: 'third' }).waitFor()

    await topics.getByRole('button', { name: 'second' }).focus()
    await second!.unsubscribe()
    await expect.poll(() => focusedName(page)).toBe('third1 member')
    await page.keyboard.press('ArrowUp')
    expect(await focusedName(page)).toBe('first1 member')
    await page.keyboard.press('ArrowDown')
    await third!.unsubscribe()
    await expect.poll(() => focusedName(page)).toBe('first1 member')
    await first!.unsubscribe()
    await expect.poll(() => focusedName(page)).toBe('Filter topics')
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('stays near what is closed, chosen or put away with the keyboard', async () => {
    const { page, complaints } = await visit(it.browser, it.server.address, {})
    await page.getByText('Healthy').waitFor()
    const channel = it.server.client.channel('here').subscribe()
    await channel.ready({ timeout: 20_000 })
    await page.getByRole('button', { name: 'Hide' }).focus()
    await page.keyboard.press('Enter')
    await expect.poll(() => focusedName(page)).toBe('Filter the log')

    await page.keyboard.press('Escape')
    await page.keyboard.press('2')
    await page.locator('.choices').getByRole('button', { name: 'here' }).focus()
    await page.keyboard.press('Enter')
    await expect.poll(() => focusedName(page)).toBe('Presence')

    await page.keyboard.press('3')
    await page.getByRole('tabpanel').getByRole('button', { name: 'anon' }).first().focus()
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: 'Close' }).focus()
    await page.keyboard.press('Enter')
    await expect.poll(() => focusedName(page)).toBe('tidewire_admin')

    const log = page.getByRole('listbox', { name: 'Log' })
    const sendUntilItScrolls = async (): Promise<boolean> => {
      await channel.sendBroadcast('many', {})
      return log.evaluate(({ scrollHeight, clientHeight }) => scrollHeight > clientHeight + 100)
    }
    await expect.poll(sendUntilItScrolls, { timeout: 20_000 }).toBe(true)
    await page.keyboard.press('l')
    await expect.poll(() => focusedName(page)).toBe('Log, the newest last')
    await page.keyboard.press('Home')
    await page.getByRole('button', { name: 'Newest' }).focus()
    await page.keyboard.press('Enter')
    await expect.poll(() => focusedName(page)).toBe('Log, the newest last')
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('stays on a button that waits for its answer', async () => {
    const { page, complaints } = await visit(it.browser, it.server.address, returning)
    await page.getByText('Healthy').waitFor()
    const composer = page.getByRole('region', { name: 'Send' })
    await composer.getByRole('button', { name: 'SQL' }).click()
    await composer.getByLabel('SQL').fill('select pg_sleep(0.5), id from todos')
    await composer.getByRole('button', { name: 'Run' }).focus()
    await page.keyboard.press('Enter')
    await composer.getByRole('columnheader', { name: 'pg_sleep' }).waitFor()
    expect(await focusedName(page)).toBe('Run')

    await page.getByRole('tab', { name: 'Why?' }).click()
    const panel = page.getByRole('tabpanel')
    await panel.getByRole('textbox', { name: 'Claims' }).fill('{}')
    await panel.getByRole('textbox', { name: 'Topic' }).fill('lobby')
    await panel.getByRole('button', { name: 'Why?' }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('region', { name: 'Answer' }).waitFor()
    expect(await focusedName(page)).toBe('Why?')
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('is not taken back from nowhere', async () => {
    const { page, complaints } = await visit(it.browser, it.server.address, returning)
    await page.getByText('Healthy').waitFor()
    const channel = it.server.client.channel('gone').subscribe()
    await channel.ready({ timeout: 20_000 })
    const topic = page.getByRole('navigation', { name: 'Topics' }).getByRole('button', { name: 'gone' })
    await topic.focus()
    await topic.evaluate((element) => (element as HTMLElement).blur())
    await channel.unsubscribe()
    await topic.waitFor({ state: 'detached' })
    expect(await focusedName(page)).toBe('BODY')
    expect(complaints).toEqual([])
    await page.context().close()
  })
})
