import { chromiumPath } from '@tidewire/testkit'
import type { Page } from 'playwright-core'
import { describe, expect, test } from 'vitest'
import { axeFindings, axeFindingsInTheDark } from '../test/axe.ts'
import { useDevServer } from '../test/dev-server.ts'
import { keepPicture, returning, visit } from '../test/visit.ts'

/** The page for users with poor sight or none, or without a mouse. */
describe.skipIf(chromiumPath() === undefined)('the inspector, accessible', () => {
  const it = useDevServer(
    'create table todos (id int primary key, title text)',
    "create policy writers on realtime.messages for insert to anon with check (realtime.topic() = 'members')",
    "create policy members on realtime.messages for select to anon using (realtime.topic() = 'members')",
  )

  /** A row of each kind in the log, a topic of each, and one presence. */
  async function happen(page: Page): Promise<void> {
    const { client } = it.server
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
    await it.server.sql("insert into todos values (1, 'milk')")
    const lobby = client.channel('lobby').subscribe()
    await lobby.ready({ timeout: 20_000 })
    await lobby.unsubscribe()
    client.channel('secret', { config: { private: true } }).subscribe()
    for (const kind of kinds) await page.locator(`.entry.${kind}`).first().waitFor()
    await page.keyboard.press('Escape')
    await page.keyboard.press('p')
    await page.getByRole('button', { name: 'Go on' }).waitFor()
  }

  test('axe finds nothing in it: in both themes, with every part of it open, and on a phone', async () => {
    const { page, complaints } = await visit(it.browser, it.server.address, {})
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
    await page.getByRole('tab', { name: 'Why?', selected: true }).waitFor()
    const panel = page.getByRole('tabpanel', { name: 'Why?' })
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

  test('every part of it is reached and used without a mouse, and it is always seen where the keyboard is', async () => {
    const options = { ...returning, permissions: ['clipboard-read', 'clipboard-write'] }
    const { page, complaints } = await visit(it.browser, it.server.address, options)
    await page.getByText('Healthy').waitFor()
    await it.server.client.removeAllChannels()
    const channel = it.server.client.channel('walk', { config: { broadcast: { ack: true } } }).subscribe()
    await channel.ready({ timeout: 20_000 })
    for (const step of ['one', 'two', 'three']) await channel.sendBroadcast(step, { step, nested: { deep: [1, 2] } })
    await page.locator('.entry.broadcast', { hasText: 'three' }).waitFor()
    await page.getByRole('button', { name: 'walk 1 member' }).waitFor()
    await expect.poll(() => page.locator('.topics .row').count()).toBe(1)
    const press = async (...keys: readonly string[]): Promise<void> => {
      for (const key of keys) await page.keyboard.press(key)
    }
    const focused = page.locator(':focus')
    /** Presses Tab until it is there; what it passes must be on the screen, and marked. */
    const tabTo = async (wanted: string): Promise<readonly string[]> => {
      const passed: string[] = []
      while (passed.length < 40) {
        await press('Tab')
        passed.push(await focused.evaluate(describeFocus))
        if (passed.at(-1) === wanted) return passed
      }
      throw new Error(`Tab never came to ${wanted}: ${passed.join(', ')}`)
    }

    expect(await tabTo('Log, the newest last')).toEqual([
      ...['Auto', 'Keyboard shortcuts', 'Filter topics', 'walk1 member'],
      ...['Filter the log', 'Pause', 'Payloads', 'Clear', 'Demo', 'Log, the newest last'],
    ])
    const chosen = page.getByRole('option', { selected: true })
    await press('ArrowUp')
    await chosen.filter({ hasText: 'three' }).waitFor()
    await press('ArrowUp', 'k')
    await chosen.filter({ hasText: 'one' }).waitFor()
    await press('ArrowDown')
    await chosen.filter({ hasText: 'two' }).waitFor()
    const marked = (): Promise<string | null> => page.locator('#log').getAttribute('aria-activedescendant')
    await expect.poll(marked).toBe(await chosen.getAttribute('id'))

    await press('Enter')
    expect(await focused.evaluate(describeFocus)).toBe('Its content')
    expect(await tabTo('nested: {1}')).toContain('{2}')
    await press('Enter')
    await expect.poll(() => focused.getAttribute('aria-expanded')).toBe('false')
    await press('y')
    await expect.poll(() => page.evaluate(() => navigator.clipboard.readText())).toContain("channel.sendBroadcast('two', ")
    const said = page.getByRole('status')
    await said.filter({ hasText: 'The row is copied as code.' }).waitFor()
    await press('Escape')
    expect(await focused.evaluate(describeFocus)).toBe('Log, the newest last')
    await expect.poll(() => chosen.count()).toBe(0)
    await press('y')
    await said.filter({ hasText: 'Choose a row of the log' }).waitFor()

    await press('c')
    await expect.poll(() => focused.evaluate(describeFocus)).toBe('Topic')
    await press('Control+a')
    await page.keyboard.type('by hand')
    await press('Enter')
    await page.getByRole('region', { name: 'Send' }).getByText('Sent.').waitFor()
    await page.locator('.entry.broadcast', { hasText: 'by hand' }).waitFor()
    // The composer joined the topic to send to it, and leaves it again.
    await expect.poll(() => page.locator('.topics .row').count()).toBe(1)

    await press('Escape', '1')
    await expect.poll(() => focused.evaluate(describeFocus)).toBe('Latency')
    await press('ArrowRight', 'ArrowRight', 'ArrowRight')
    await page.getByRole('tab', { name: 'Why?', selected: true }).waitFor()
    await tabTo('Claims')
    await press('Control+a')
    await page.keyboard.type('{}')
    await tabTo('Topic')
    await page.keyboard.type('walk')
    await tabTo('private')
    await press('Space')
    await tabTo('Why?')
    await press('Enter')
    await page.getByRole('region', { name: 'Answer' }).locator('.allowed').waitFor()

    await press('t')
    await expect.poll(() => focused.evaluate(describeFocus)).toBe('Filter topics')
    await tabTo('walk1 member')
    await press('Enter')
    await expect.poll(() => focused.getAttribute('aria-pressed')).toBe('true')
    await press('?')
    const dialog = page.getByRole('dialog', { name: 'Keyboard shortcuts' })
    await dialog.waitFor()
    const keys = ['/', 't', 'l', 'Enter', 'p', 'y', 'c', '1 – 4', 'Esc', '?']
    expect((await dialog.locator('dl').first().locator('kbd').allTextContents()).toSorted()).toEqual(keys.toSorted())
    await press('Escape')
    await dialog.waitFor({ state: 'detached' })
    expect(await focused.evaluate(describeFocus)).toBe('walk1 member')
    await press('l')
    await expect.poll(() => focused.evaluate(describeFocus)).toBe('Log, the newest last')
    expect(complaints).toEqual([])
    await page.context().close()
  }, 60_000)
})

/** Runs in the page: what has the focus, by its name. Throws where it cannot be seen, or is not marked. */
function describeFocus(element: Element): string {
  const name =
    element.getAttribute('aria-label') ??
    (element as HTMLInputElement).labels?.[0]?.textContent ??
    (element.textContent === '' ? element.tagName : element.textContent)
  const { top, left, bottom, right } = element.getBoundingClientRect()
  const isOnScreen = top >= 0 && left >= 0 && bottom <= innerHeight && right <= innerWidth && bottom > top
  const { outlineStyle, outlineWidth } = getComputedStyle(element)
  if (!isOnScreen) throw new Error(`${name} has the focus and cannot be seen`)
  if (outlineStyle === 'none' || Number.parseFloat(outlineWidth) < 2) throw new Error(`${name} has the focus and is not marked`)
  return name.trim()
}
