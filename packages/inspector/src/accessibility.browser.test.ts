import { chromiumPath } from '@tidewire/testkit'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { axeFindings, axeFindingsInTheDark } from '../test/axe.ts'
import { startDev, type DevServer } from '../test/dev-server.ts'
import { keepPicture, openBrowser, visit } from '../test/visit.ts'

/** The page for people who see it badly, or not at all, or have no mouse. */
describe.skipIf(chromiumPath() === undefined)('the inspector for everybody', () => {
  let server: DevServer
  let browser: Browser

  beforeAll(async () => {
    server = await startDev()
    await server.sql(
      'create table todos (id int primary key, title text)',
      "create policy writers on realtime.messages for insert to anon with check (realtime.topic() = 'members')",
      "create policy members on realtime.messages for select to anon using (realtime.topic() = 'members')",
    )
    browser = await openBrowser()
  }, 90_000)
  afterAll(async () => {
    await browser?.close()
    await server?.close()
  })

  /** A row of each kind in the log, a topic of each, and somebody present. */
  async function happen(page: Page): Promise<void> {
    const { client } = server
    const kinds = ['missing', 'connect', 'join', 'broadcast', 'presence', 'change', 'decision', 'leave']
    await page.getByRole('button', { name: 'Clear' }).click()
    const rows = client.channel('rows').onPostgresChanges('*', { schema: 'public', table: 'todos' }, () => {})
    rows.subscribe()
    await rows.ready({ timeout: 20_000 })
    await page.getByRole('searchbox', { name: 'Filter the log' }).fill('-event:filler')
    for (let n = 0; n < 500; n++) void rows.sendBroadcast('filler', { n })
    await page.locator('.entry.missing').first().waitFor()
    const members = client.channel('members', { config: { private: true, broadcast: { ack: true } } }).subscribe()
    await members.ready({ timeout: 20_000 })
    // What the burst leaves no place for is skipped, too.
    const hello = { text: 'x'.repeat(500), list: Array.from({ length: 120 }, (_, index) => index) }
    const sayHello = async (): Promise<number> => {
      await members.sendBroadcast('hello', hello)
      return page.locator('.entry.broadcast', { hasText: 'hello' }).count()
    }
    await expect.poll(sayHello, { timeout: 20_000 }).toBeGreaterThan(0)
    await members.track({ name: 'Ada', since: null, tags: ['a', 1, true] })
    await server.sql("insert into todos values (1, 'milk')")
    const lobby = client.channel('lobby').subscribe()
    await lobby.ready({ timeout: 20_000 })
    await lobby.unsubscribe()
    client.channel('secret', { config: { private: true } }).subscribe()
    for (const kind of kinds) await page.locator(`.entry.${kind}`).first().waitFor()
    await page.keyboard.press('p')
  }

  test('axe finds nothing in it: in both themes, with every part of it open, and on a phone', async () => {
    const { page, complaints } = await visit(browser, server.address, {})
    await page.getByRole('img', { name: 'Grace’s page' }).locator('.cursor:not(.own)').waitFor()
    const findings: string[] = []
    const look = async (about: string): Promise<void> =>
      void findings.push(...(await axeFindings(page, about)), ...(await axeFindingsInTheDark(page, about)))
    await look('the first visit')
    await page.getByRole('button', { name: 'Hide' }).click()
    await happen(page)
    await page.getByRole('navigation', { name: 'Topics' }).getByRole('button', { name: 'members private' }).click()
    await page.locator('.entry.broadcast', { hasText: 'hello' }).first().click()
    await page.getByRole('tab', { name: 'Latency' }).click()
    await page.getByRole('img', { name: 'How many took how long' }).waitFor()
    await look('a broadcast, latency')
    await page.getByRole('tab', { name: 'Presence' }).click()
    await page.getByRole('tabpanel').getByText('"Ada"').waitFor()
    await page.locator('.entry.change').click()
    await page.getByRole('button', { name: 'Code', exact: true }).click()
    await look('a change, presence')
    await page.getByRole('tab', { name: 'Connections' }).click()
    await page.getByRole('tabpanel').getByRole('button', { name: 'anon' }).first().click()
    const composer = page.getByRole('region', { name: 'Send' })
    await composer.getByRole('button', { name: 'SQL' }).click()
    await composer.getByLabel('SQL').fill('select id, title, null as nothing from todos')
    await composer.getByRole('button', { name: 'Run' }).click()
    await composer.getByRole('cell', { name: 'milk' }).waitFor()
    await look('connections, SQL')
    await composer.getByRole('button', { name: 'Broadcast' }).click()
    await composer.getByLabel('Payload').fill('no JSON')
    await composer.getByRole('button', { name: 'Send' }).click()
    await page.locator('.entry.decision').first().click()
    await page.getByRole('region', { name: 'The chosen row' }).getByRole('button', { name: 'Why?' }).click()
    const panel = page.getByRole('tabpanel')
    await panel.getByRole('button', { name: 'Why?' }).click()
    await panel.locator('.sql-to-try').first().waitFor()
    await look('a decision, why')
    await page.keyboard.press('?')
    await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor()
    await look('the shortcuts')
    await page.keyboard.press('Escape')
    await page.setViewportSize({ width: 390, height: 844 })
    for (const pane of ['Topics', 'Log', 'Details']) {
      await page.getByRole('group', { name: 'Part of the page' }).getByRole('button', { name: pane }).click()
      findings.push(...(await axeFindings(page, `a phone, ${pane}`)))
      await keepPicture(page, `phone-${pane.toLowerCase()}`)
    }
    expect(findings).toEqual([])
    expect(complaints).toEqual([])
    await page.context().close()
  }, 120_000)
})
