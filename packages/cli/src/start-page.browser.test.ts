import { chromiumLaunchOptions, chromiumPath } from '@tidewire/testkit'
import { chromium, type Browser, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CliSandbox } from '../test/cli-process.ts'

describe.skipIf(chromiumPath() === undefined)('the start page', () => {
  let sandbox: CliSandbox
  let browser: Browser
  let url: string

  beforeAll(async () => {
    sandbox = new CliSandbox()
    url = (await sandbox.start(['dev', '--no-db', '--port', '0', '--json']).json<{ url: string }>()).url
    browser = await chromium.launch(chromiumLaunchOptions())
  })
  afterAll(async () => {
    await browser?.close()
    await sandbox.clear()
  })

  async function visit(address = url): Promise<{ page: Page; complaints: string[] }> {
    const page = await (await browser.newContext()).newPage()
    const complaints: string[] = []
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
    await page.goto(address)
    await page.getByText('Connected;').waitFor()
    return { page, complaints }
  }

  test('connects under its own policy for scripts, shows what is sent, and the members', async () => {
    const { page, complaints } = await visit()
    expect((await sandbox.run(['send', 'lobby', 'hello', '{"from":"<b>terminal</b>"}'])).code).toBe(0)
    await page.getByText('{"from":"<b>terminal</b>"}').waitFor()
    await page.getByLabel('Message').fill('from the page')
    await page.keyboard.press('Enter')
    await page.getByText('{"text":"from the page"}').waitFor()

    // The other name of this machine is another origin, which the page must not mind.
    const other = await visit(url.replace('127.0.0.1', 'localhost'))
    await page.getByText('2 pages are open').waitFor()
    await other.page.context().close()
    await page.getByText('no other page is open').waitFor()
    expect([...complaints, ...other.complaints]).toEqual([])
    expect(await page.getByText('npx tidewire sql').isVisible()).toBe(false)
  })

  test('shows rows of a table that is made after it was opened', { timeout: 120_000 }, async () => {
    const project = new CliSandbox()
    try {
      const { url: address } = await project.start(['dev', '--port', '0', '--json']).json<{ url: string }>()
      const { page, complaints } = await visit(address)
      await page.getByText('npx tidewire sql "create table messages').waitFor()
      expect((await project.run(['sql', 'create table messages (id serial primary key, body text)'])).code).toBe(0)
      await expect
        .poll(
          async () => {
            await project.run(['sql', `insert into messages (body) values ('hello')`])
            return page.getByText('"body":"hello"').count()
          },
          { timeout: 30_000, interval: 500 },
        )
        .toBeGreaterThan(0)
      expect(complaints).toEqual([])
    } finally {
      await project.clear()
    }
  })
})
