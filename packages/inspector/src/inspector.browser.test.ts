import { chromiumPath } from '@tidewire/testkit'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { Route } from 'playwright-core'
import { describe, expect, test } from 'vitest'
import { signJwt } from '../../cli/src/jwt.ts'
import { useDevServer } from '../test/dev-server.ts'
import { entry, keepPicture, returning, visit } from '../test/visit.ts'

/** The page, on a real `tidewire dev` with a real Postgres. */
describe.skipIf(chromiumPath() === undefined)('the inspector', () => {
  const it = useDevServer('create table todos (id int primary key, title text)')

  test('a first visit sees something move within five seconds; once put away, it stays away', async () => {
    const { page, complaints } = await visit(it.browser, it.server.address, {})
    const startedAt = Date.now()
    const others = page.getByRole('img', { name: 'Grace’s page' }).locator('.cursor:not(.own)')
    await others.waitFor()
    const before = await others.getAttribute('style')
    await expect.poll(() => others.getAttribute('style')).not.toBe(before)
    expect(Date.now() - startedAt).toBeLessThan(5_000)
    await entry(page, 'broadcast', 'cursor', 'demo-').first().waitFor()
    await keepPicture(page, 'demo')
    await page.getByRole('button', { name: 'Hide' }).click()
    await page.reload()
    await page.getByText('Healthy').waitFor()
    expect(await page.getByText('Two clients, one server.').count()).toBe(0)
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('a broadcast, a presence and a change are seen, with their users', async () => {
    const { page, complaints } = await visit(it.browser, it.server.address)
    await page.getByText('Healthy').waitFor()
    const composer = page.getByRole('region', { name: 'Send' })
    await composer.getByLabel('Payload').fill('{"text": "from the page"}')
    await composer.getByRole('button', { name: 'Send' }).click()
    await composer.getByText('Sent.').waitFor()
    await entry(page, 'broadcast', 'lobby', 'from the page').waitFor()

    await composer.getByRole('button', { name: 'Presence' }).click()
    await composer.getByLabel('Meta').fill('{"name": "Ada"}')
    await composer.getByRole('button', { name: 'Track', exact: true }).click()
    await entry(page, 'presence', 'track', 'Ada').waitFor()
    await page.getByRole('navigation', { name: 'Topics' }).getByRole('button', { name: 'lobby' }).click()
    await page.getByRole('tab', { name: 'Presence' }).click()
    await page.getByText('1 member · 1 present').waitFor()
    await page.getByRole('tabpanel').getByText('"Ada"').waitFor()

    const channel = it.server.client.channel('rows').onPostgresChanges('*', { schema: 'public', table: 'todos' }, () => {})
    channel.subscribe()
    await channel.ready({ timeout: 20_000 })
    await composer.getByRole('button', { name: 'SQL' }).click()
    await composer.getByLabel('SQL').fill("insert into todos values (1, '<b>milk</b>')")
    await page.keyboard.press('Control+Enter')
    await composer.getByText('INSERT').waitFor()
    await entry(page, 'change', 'INSERT', 'public.todos').waitFor()
    await composer.getByLabel('SQL').fill('select id, title from todos')
    await composer.getByRole('button', { name: 'Run' }).click()
    await composer.getByRole('cell', { name: '<b>milk</b>' }).waitFor()

    await entry(page, 'change', 'INSERT').click()
    await page.getByRole('region', { name: 'The chosen row' }).getByText('"<b>milk</b>"').waitFor()
    await page.getByRole('region', { name: 'The chosen row' }).getByRole('button', { name: 'Code', exact: true }).click()
    await page.getByText("onPostgresChanges('INSERT', { schema: 'public', table: 'todos' }").waitFor()
    await page.getByRole('tab', { name: 'Connections' }).click()
    await page
      .getByRole('cell', { name: 'anon' })
      .or(page.getByRole('rowheader', { name: 'anon' }))
      .first()
      .waitFor()
    await keepPicture(page, 'light')
    await page.emulateMedia({ colorScheme: 'dark' })
    await page.getByRole('tab', { name: 'Latency' }).click()
    await page.getByRole('img', { name: 'How many took how long' }).waitFor()
    await keepPicture(page, 'dark')
    await page.setViewportSize({ width: 390, height: 844 })
    await page.getByRole('button', { name: 'Details', exact: true }).click()
    await keepPicture(page, 'phone')
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390)
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('a message without receivers is seen, and why; each copy is confirmed', async () => {
    const { page, complaints } = await visit(it.browser, it.server.address, {
      ...returning,
      permissions: ['clipboard-read', 'clipboard-write'],
    })
    await page.getByText('Healthy').waitFor()
    const members = it.server.client.channel('shared').subscribe()
    await members.ready({ timeout: 20_000 })
    await page.getByRole('button', { name: 'shared 1 member' }).waitFor()
    const messages = [false, true].map((isPrivate) => ({
      topic: 'shared',
      event: isPrivate ? 'astray' : 'heard',
      private: isPrivate,
      payload: {},
    }))
    await it.server.sql("select realtime.send('{}', 'from-sql', 'nowhere', false)")
    const headers = { 'content-type': 'application/json', apikey: it.server.serviceKey }
    const answer = await fetch(`${it.server.url}/realtime/v1/api/broadcast`, {
      method: 'POST',
      headers,
      body: JSON.stringify({ messages }),
    })
    expect(answer.status).toBe(202)
    await entry(page, 'broadcast', 'heard', '→1').waitFor()
    const chosen = page.getByRole('region', { name: 'The chosen row' })
    await entry(page, 'broadcast', 'from-sql', '→0').click()
    await chosen.getByText('Not delivered: no client was in this public topic.', { exact: true }).waitFor()
    await entry(page, 'broadcast', 'astray', '→0').click()
    await chosen.getByText('The public topic of the same name is another one; it has 1 member.').waitFor()
    for (const [label, said] of [
      ['Copy as code', 'The row is copied as code.'],
      ['Copy payload', 'The payload is copied.'],
    ] as const) {
      await chosen.getByRole('button', { name: label }).click()
      await page.getByRole('status').filter({ hasText: said }).waitFor()
    }
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe('{}')
    await page.evaluate(() =>
      Object.defineProperty(navigator, 'clipboard', { value: { writeText: () => Promise.reject(new Error('no')) } }),
    )
    await chosen.getByRole('button', { name: 'Copy payload' }).click()
    await page.getByRole('status').filter({ hasText: 'did not let this page copy' }).waitFor()
    await members.unsubscribe()
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('what the composer may not do is refused in the words of the server', async () => {
    await it.server.sql("create policy readers on realtime.messages for select to anon using (realtime.topic() = 'readable')")
    const { page, complaints } = await visit(it.browser, it.server.address)
    await page.getByText('Healthy').waitFor()
    const composer = page.getByRole('region', { name: 'Send' })
    await composer.getByLabel('Topic').fill('readable')
    await composer.getByLabel('private').check()
    await composer.getByRole('button', { name: 'Send' }).click()
    await composer.getByText('You do not have permissions to broadcast to this Channel topic: readable').waitFor()
    await composer.getByRole('button', { name: 'Presence' }).click()
    await composer.getByRole('button', { name: 'Track', exact: true }).click()
    await composer.getByText('You do not have permissions to track presence').waitFor()
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('hostile payloads are text, and three megabytes of them are cut', async () => {
    const { page, complaints } = await visit(it.browser, it.server.address)
    await page.getByText('Healthy').waitFor()
    const hostile = '<img src=x onerror="alert(1)"><script>alert(2)</script>\u202Egnp.exe'
    const channel = it.server.client.channel(`"><script>alert(3)</script>\u202E`, { config: { broadcast: { ack: true } } })
    await new Promise<void>((resolve) => channel.subscribe((status) => status === 'SUBSCRIBED' && resolve()))
    await channel.sendBroadcast('<script>alert(4)</script>', { text: hostile })
    const row = entry(page, 'broadcast', '<script>alert(4)</script>')
    await row.waitFor()
    expect(await row.textContent()).toContain(String.raw`\u202e`)
    await row.click()
    const chosen = page.getByRole('region', { name: 'The chosen row' })
    await chosen.getByText(String.raw`<script>alert(2)</script>\u202egnp.exe`).waitFor()
    await channel.sendBroadcast('big', { text: 'x'.repeat(2_900_000) })
    await entry(page, 'broadcast', 'big').click()
    await chosen.getByText(/Cut by the server; there were 2.8 MB/).waitFor()
    expect(await page.evaluate(() => document.querySelectorAll('#page script, #page img').length)).toBe(0)
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('a burst is sampled, and the log says how much is missing', async () => {
    const { page, complaints } = await visit(it.browser, it.server.address)
    await page.getByText('Healthy').waitFor()
    const channel = it.server.client.channel('burst')
    await new Promise<void>((resolve) => channel.subscribe((status) => status === 'SUBSCRIBED' && resolve()))
    for (let count = 0; count < 5_000; count++) void channel.sendBroadcast('n', { count })
    await entry(page, /more happened than is shown/)
      .first()
      .waitFor()
    // Only what can be seen is drawn, however long the log.
    expect(await page.locator('.entry').count()).toBeLessThanOrEqual(60)
    await page.keyboard.press('p')
    await page.keyboard.press('/')
    await page.locator('#log-filter:focus').waitFor()
    await page.keyboard.type('event:n')
    await page.keyboard.press('Escape')
    await page.keyboard.press('l')
    await page.locator('#log:focus').waitFor()
    await page.keyboard.press('Home')
    await page.getByRole('option', { selected: true }).waitFor()
    await page.keyboard.press('?')
    await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor()
    await page.keyboard.press('Escape')
    await page.keyboard.press('4')
    await page.getByRole('tab', { name: 'Why?', selected: true }).waitFor()
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('a page that is left open keeps no more than it shows', async () => {
    const { page, complaints } = await visit(it.browser, it.server.address)
    await page.getByText('Healthy').waitFor()
    const session = await page.context().newCDPSession(page)
    const channel = it.server.client.channel('long', { config: { broadcast: { ack: true } } }).subscribe()
    await channel.ready({ timeout: 20_000 })
    let sent = 0
    /** Elements, drawn or kept, after the list was drawn so many times; what a time brings is few enough to be shown whole. */
    const keptAfter = async (times: number): Promise<number> => {
      for (let time = 0; time < times; time++) {
        for (let row = 0; row < 10; row++) await channel.sendBroadcast(`row-${++sent}.`, { sent })
        await entry(page, `row-${sent}.`).first().waitFor()
      }
      await session.send('HeapProfiler.collectGarbage')
      return (await session.send('Memory.getDOMCounters')).nodes
    }
    const before = await keptAfter(8)
    const after = await keptAfter(24)
    expect(after - before).toBeLessThan(before / 4)
    expect(complaints).toEqual([])
    await page.context().close()
  })

  const adminKey = (exp: number): Promise<string> => {
    const { adminSecret } = JSON.parse(readFileSync(join(it.server.sandbox.folder, '.tidewire', 'keys.json'), 'utf8')) as {
      adminSecret: string
    }
    return signJwt({ role: 'tidewire_admin', exp }, adminSecret)
  }

  test('a page from elsewhere gets no key, and does not come in with one', async () => {
    const elsewhere = createServer((_request, response) => response.setHeader('content-type', 'text/html').end('<title>elsewhere</title>'))
    await once(elsewhere.listen(0, '127.0.0.1'), 'listening')
    const { page } = await visit(it.browser, `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/`)
    expect(await page.evaluate((url) => fetch(url).then(() => 'read', String), `${it.server.address}session.json`)).toContain(
      'Failed to fetch',
    )
    const key = await adminKey(Math.floor(Date.now() / 1_000) + 60)
    const answer = await page.evaluate(
      (url) =>
        new Promise<string>((resolve) => {
          const socket = new WebSocket(url)
          socket.addEventListener('open', () => socket.send('["1","1","tidewire:admin","phx_join",{}]'))
          socket.addEventListener('message', ({ data }) => resolve(String(data)))
        }),
      `${it.server.url.replace('http', 'ws')}/socket/websocket?vsn=2.0.0&apikey=${key}`,
    )
    expect(answer).toMatch(/"error".*ForeignOrigin: /)
    await page.context().close()
    elsewhere.closeAllConnections()
    elsewhere.close()
  })

  test('a key of the page that runs out is renewed, and nothing of the log is lost', async () => {
    let expiresAt = 0
    const { page, complaints } = await visit(it.browser, it.server.address)
    // The first page has its own key by then, so that the one which runs out is for the second.
    await page.getByText('Healthy').waitFor()
    await page.clock.install()
    const giveShortKey = async (route: Route): Promise<void> => {
      expiresAt = (Math.floor(Date.now() / 1_000) + 7) * 1_000
      await route.fulfill({ json: { token: await adminKey(expiresAt / 1_000), expiresAt, anonKey: it.server.anonKey } })
    }
    await page.route('**/session.json', giveShortKey, { times: 1 })
    let answers = 0
    page.on('response', (response) => (answers += Number(response.url().endsWith('/session.json'))))
    await page.goto(it.server.address)
    await page.getByText('Healthy').waitFor()
    // The page would wait five seconds before it asks for another, the server does not wait.
    await page.clock.fastForward(5_000)
    // The key that runs out, and the one after it.
    await expect.poll(() => answers, { timeout: 20_000 }).toBe(2)
    await expect.poll(() => Date.now() > expiresAt + 200, { timeout: 20_000 }).toBe(true)
    const composer = page.getByRole('region', { name: 'Send' })
    await composer.getByLabel('Event').fill('afterwards')
    await composer.getByRole('button', { name: 'Send' }).click()
    await entry(page, 'broadcast', 'afterwards').waitFor()
    expect(await page.locator('.entry.missing').count()).toBe(0)
    expect(complaints).toEqual([])
    await page.context().close()
  })
})
