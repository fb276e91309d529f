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
    await page.getByText('Connected').waitFor()
    return { page, complaints }
  }

  test('connects under its own policy for scripts, shows what is sent, and who is here', async () => {
    const { page, complaints } = await visit()
    expect((await sandbox.run(['send', 'lobby', 'hello', '{"from":"<b>terminal</b>"}'])).code).toBe(0)
    await page.getByText('{"from":"<b>terminal</b>"}').waitFor()
    await page.getByLabel('Message').fill('from the page')
    await page.keyboard.press('Enter')
    await page.getByText('{"text":"from the page"}').waitFor()

    // The other name of this machine is another origin, which the page must not mind.
    const other = await visit(url.replace('127.0.0.1', 'localhost'))
    await page.getByText('2 are here').waitFor()
    await other.page.context().close()
    await page.getByText('nobody else is here').waitFor()
    expect([...complaints, ...other.complaints]).toEqual([])
  })
})
