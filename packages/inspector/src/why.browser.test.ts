import { chromiumPath } from '@tidewire/testkit'
import { readFileSync } from 'node:fs'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startDev, type DevServer } from '../test/dev-server.ts'
import { entry, keepPicture, openBrowser, visit } from '../test/visit.ts'

/** The tab "Why?", on a real `tidewire dev` with a real Postgres. */
describe.skipIf(chromiumPath() === undefined)('why', () => {
  let server: DevServer
  let browser: Browser

  beforeAll(async () => {
    server = await startDev()
    await server.sql('create table todos (id int primary key, title text)')
    browser = await openBrowser()
  }, 90_000)
  afterAll(async () => {
    await browser?.close()
    await server?.close()
  })

  test('says which user may not join, and which filter left a change out', async () => {
    const { page, complaints } = await visit(browser, server.address)
    await page.getByText('Healthy').waitFor()
    const refused = server.client.channel('secret', { config: { private: true } })
    refused.subscribe()
    await entry(page, 'decision', 'secret').first().getByLabel('private').waitFor()
    await entry(page, 'decision', 'secret').first().click()
    await page.getByText('secret (private)').waitFor()
    await page.getByRole('region', { name: 'The chosen row' }).getByRole('button', { name: 'Why?' }).click()
    const panel = page.getByRole('tabpanel', { name: 'Why?' })
    expect(await panel.getByLabel('private').isChecked()).toBe(true)
    await panel.getByRole('button', { name: 'Why?' }).click()
    const answer = panel.getByRole('region', { name: 'Answer' })
    await answer.locator('.refused').waitFor()
    await answer.locator('.step.deciding').waitFor()
    await answer.locator('.sql-to-try').first().waitFor()
    await keepPicture(page, 'why-topic')
    await refused.unsubscribe()

    await server.sql("insert into todos values (2, 'bread')")
    await panel.getByRole('button', { name: 'Do they get a row change' }).click()
    await panel.getByRole('combobox').selectOption('')
    await panel.getByRole('textbox', { name: 'Role' }).fill('anon')
    await panel.getByRole('textbox', { name: 'Claims' }).fill('{}')
    await panel.getByLabel('Table').fill('public.todos')
    await panel.getByRole('group', { name: 'Row' }).getByLabel('id').fill('2')
    await panel.getByLabel('Filter').fill('id=gt.5')
    await panel.getByRole('button', { name: 'Why?' }).click()
    await answer.locator('.refused').filter({ hasText: 'id=gt.5' }).waitFor()
    await answer.locator('.step.deciding').filter({ hasText: 'filter' }).waitFor()
    await keepPicture(page, 'why-change')
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('says when a token expires, and when it has', async () => {
    const { page, complaints } = await visit(browser, server.address)
    await page.getByText('Healthy').waitFor()
    await page.keyboard.press('4')
    const panel = page.getByRole('tabpanel', { name: 'Why?' })
    await panel.getByRole('textbox', { name: 'Topic' }).fill('open')
    await panel.getByLabel('private').uncheck()
    const exp = Math.floor(Date.now() / 1_000) + 3
    await panel.getByRole('textbox', { name: 'Claims' }).fill(JSON.stringify({ exp }))
    await panel.getByRole('button', { name: 'Why?' }).click()
    const answer = panel.getByRole('region', { name: 'Answer' })
    await answer.getByText(/^Expires .*\(in \d s\)$/).waitFor()
    expect(await answer.getByRole('time').getAttribute('datetime')).toBe(new Date(exp * 1_000).toISOString())
    await answer.getByText(/^Has expired since, .*\(\d s ago\)$/).waitFor()
    await panel.getByRole('button', { name: 'Why?' }).click()
    await answer.locator('.refused').filter({ hasText: 'The token of role authenticated has expired.' }).waitFor()
    await answer.getByText(/^Expired .*\(\d s ago\)$/).waitFor()
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('asks for every column of the key, and knows them of a row of the log', async () => {
    await server.sql(
      'create table seats (hall text, seat bigint, taken_by text, primary key (seat, hall))',
      'create table notes (body text)',
    )
    const { page, complaints } = await visit(browser, server.address)
    await page.getByText('Healthy').waitFor()
    const channel = server.client.channel('seats').onPostgresChanges('*', { schema: 'public', table: 'seats' }, () => {})
    channel.subscribe()
    await channel.ready({ timeout: 20_000 })
    await server.sql("insert into seats values ('blue \"hall\"', 9007199254740993, 'ada')")
    await entry(page, 'change', 'public.seats').click()
    await page.getByRole('region', { name: 'The chosen row' }).getByRole('button', { name: 'Why?' }).click()
    const panel = page.getByRole('tabpanel', { name: 'Why?' })
    const key = panel.getByRole('group', { name: 'Row' }).getByRole('textbox')
    await key.nth(1).waitFor()
    expect(await key.evaluateAll((fields) => fields.map((field) => (field as HTMLInputElement).value))).toEqual([
      '9007199254740993',
      'blue "hall"',
    ])
    expect(await key.nth(0).getAttribute('placeholder')).toBe('bigint')
    await panel.getByRole('textbox', { name: 'Role' }).fill('anon')
    await panel.getByRole('textbox', { name: 'Claims' }).fill('{}')
    await panel.getByRole('button', { name: 'Why?' }).click()
    const answer = panel.getByRole('region', { name: 'Answer' })
    await answer.locator('.allowed').waitFor()
    await key.nth(1).fill('')
    await panel.getByRole('button', { name: 'Why?' }).click()
    await panel.getByText('Which row? Type its hall.').waitFor()
    await panel.getByLabel('Table').fill('notes')
    await panel.getByText('This table has no primary key.').waitFor()
    await panel.getByLabel('Table').fill('nothing')
    await panel.getByText('there is no table "public"."nothing"').waitFor()
    expect(complaints).toEqual([])
    await channel.unsubscribe()
    await page.context().close()
  })

  test('says what the guide says of its example', async () => {
    const guide = readFileSync(new URL('../../../docs/inspector.md', import.meta.url), 'utf8')
    const commands = [...guide.matchAll(/npx tidewire sql "(.*)"/g)].map(([, sql]) => sql!)
    const policy = /```sql\n(create policy[^`]*)```/.exec(guide)![1]!
    expect(commands).toHaveLength(2)
    for (const command of commands) await server.sql(command)
    const { page, complaints } = await visit(browser, server.address)
    await page.getByText('Healthy').waitFor()
    await page.keyboard.press('4')
    const panel = page.getByRole('tabpanel', { name: 'Why?' })
    await panel.getByRole('button', { name: 'Do they get a row change' }).click()
    await panel.getByRole('textbox', { name: 'Role' }).fill('authenticated')
    await panel.getByRole('textbox', { name: 'Claims' }).fill('{"sub": "ada"}')
    await panel.getByLabel('Table').fill('public.secrets')
    await panel.getByRole('group', { name: 'Row' }).getByLabel('id').fill('1')
    await panel.getByRole('button', { name: 'Why?' }).click()
    const answer = panel.getByRole('region', { name: 'Answer' })
    await answer.locator('.refused', { hasText: 'Row Level Security is on, and no SELECT policy' }).waitFor()
    await server.sql(policy.trim().replace(/;$/, ''))
    await panel.getByRole('button', { name: 'Why?' }).click()
    await answer.locator('.allowed').waitFor()
    await answer.getByText('Policy "own" lets it through').waitFor()
    expect(complaints).toEqual([])
    await page.context().close()
  })
})
