import { RealtimeClient } from '@tidewire/client'
import { chromiumPath } from '@tidewire/testkit'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { signJwt } from '../../cli/src/jwt.ts'
import { CliSandbox, type CliProcess } from '../../cli/test/cli-process.ts'
import { axeFindings } from '../test/axe.ts'
import { keepPicture, openBrowser, returning, visit } from '../test/visit.ts'

const ADMIN = 'a secret of admins for this test'
const API = 'a secret of clients for this test'

/** `tidewire start` gives no key to its page: the user types one. */
describe.skipIf(chromiumPath() === undefined)('the way in', () => {
  let sandbox: CliSandbox
  let browser: Browser
  let url: string
  let server: CliProcess

  async function startServer(port: string): Promise<string> {
    const env = { API_JWT_SECRET: API, PORT: port, HOST: '127.0.0.1', TIDEWIRE_INSPECTOR: 'true', TIDEWIRE_ADMIN_SECRET: ADMIN }
    server = sandbox.start(['start'], { env })
    const line = await server.line((text) => text.includes('listening on'))
    return /listening on ([^\s"]+)/.exec(line)![1]!
  }

  beforeAll(async () => {
    sandbox = new CliSandbox()
    url = await startServer('0')
    browser = await openBrowser()
  }, 60_000)
  afterAll(async () => {
    await browser?.close()
    await sandbox.clear()
  })

  const make = async (...args: readonly string[]): Promise<string> =>
    (await sandbox.run(['token', ...args], { env: { TIDEWIRE_ADMIN_SECRET: ADMIN, API_JWT_SECRET: API } })).stdout.trim()

  test('without a key it asks for one, keeps it in the tab only, and forgets it', async () => {
    const { page, complaints } = await visit(browser, `${url}/_/`)
    await page.getByRole('heading', { name: 'Admin key' }).waitFor()
    await keepPicture(page, 'key')
    expect(await axeFindings(page, 'the key screen')).toEqual([])
    await page.getByLabel('Admin key').fill(await make('--admin'))
    await page.keyboard.press('Enter')
    await page.getByText('Healthy').waitFor()
    expect(await page.evaluate(() => Object.keys(localStorage).filter((name) => name.includes('key')))).toEqual([])
    expect(page.url()).toBe(`${url}/_/`)
    await page.reload()
    await page.getByText('Healthy').waitFor()
    await page.getByRole('button', { name: 'Forget key' }).click()
    await page.getByRole('heading', { name: 'Admin key' }).waitFor()
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('a key that does not open it is refused with the reason, and another may be tried', async () => {
    const expired = await signJwt({ role: 'tidewire_admin', exp: Math.floor(Date.now() / 1_000) - 60 }, ADMIN)
    const cases: readonly (readonly [key: string, title: string, reason: RegExp])[] = [
      ['nonsense', 'The key was not taken', /not a key/],
      [await make('--role', 'anon'), 'The key was not taken', /admin key/],
      [expired, 'The key has expired', /expired/],
    ]
    for (const [key, title, reason] of cases) {
      const { page } = await visit(browser, `${url}/_/`, { sessionStorage: { 'tidewire-admin-key': key } })
      await page.getByRole('heading', { name: title }).waitFor()
      expect(await page.getByRole('alert').textContent()).toMatch(reason)
      await page.getByLabel('Admin key').waitFor()
      await page.context().close()
    }
  })

  test('a key that expires while the page is open: it says so, and another one goes on with the same log', async () => {
    const soon = Math.floor(Date.now() / 1_000) + 6
    const key = await signJwt({ role: 'tidewire_admin', exp: soon }, ADMIN)
    const { page } = await visit(browser, `${url}/_/`, { ...returning, sessionStorage: { 'tidewire-admin-key': key } })
    await page.getByText('Healthy').waitFor()
    await say('before')
    await page.locator('.entry').filter({ hasText: 'before' }).first().waitFor()
    await page.getByRole('heading', { name: 'The key has expired' }).waitFor()
    await page.getByLabel('Admin key').fill(await make('--admin'))
    await page.keyboard.press('Enter')
    await page.getByText('Healthy').waitFor()
    await page.locator('.entry.missing').filter({ hasText: 'had no connection' }).waitFor()
    await page.locator('.entry').filter({ hasText: 'before' }).first().waitFor()
    await page.context().close()
  })

  test('a server that goes and comes back: the page says so, comes back by itself, and marks what it missed', async () => {
    const key = await make('--admin')
    const { page } = await visit(browser, `${url}/_/`, { ...returning, sessionStorage: { 'tidewire-admin-key': key } })
    await page.getByText('Healthy').waitFor()
    await say('first')
    await page.locator('.entry').filter({ hasText: 'first' }).first().waitFor()
    await server.kill()
    await page.getByRole('alert').filter({ hasText: 'No connection to the server' }).waitFor()
    await startServer(new URL(url).port)
    await page.getByText('Healthy').waitFor()
    await page.locator('.entry.missing').filter({ hasText: 'had no connection' }).waitFor()
    await say('second')
    await page.locator('.entry').filter({ hasText: 'second' }).first().waitFor()
    await page.locator('.entry').filter({ hasText: 'first' }).first().waitFor()
    await page.context().close()
  })

  async function say(event: string): Promise<void> {
    const client = new RealtimeClient(`${url}/realtime/v1`, { apikey: await make('--role', 'anon') })
    const channel = client.channel('room', { config: { broadcast: { ack: true } } }).subscribe()
    await channel.ready()
    expect(await channel.sendBroadcast(event, {})).toBe('ok')
    await client.disconnect()
  }
})
