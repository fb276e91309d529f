import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { chromiumLaunchOptions, chromiumPath } from '@tidewire/testkit'
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const root = new URL('../../', import.meta.url)
const pathOf = (path: string): string => fileURLToPath(new URL(path, root))
const soon = { timeout: 10_000 }

describe.skipIf(chromiumPath() === undefined)('the cursors page', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidewire-cursors-'))
  let server: ChildProcess
  let browser: Browser
  let url: string

  beforeAll(async () => {
    server = spawn(
      process.execPath,
      [pathOf('packages/cli/bin/tidewire.js'), 'dev', '--no-db', '--port', '0', '--json', '--page', pathOf('examples/cursors')],
      {
        cwd: folder,
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    url = await readyUrl(server)
    browser = await chromium.launch(chromiumLaunchOptions())
  })

  afterAll(async () => {
    await browser?.close()
    if (server !== undefined && server.exitCode === null) {
      const ended = once(server, 'exit')
      server.kill('SIGINT')
      await ended
    }
    rmSync(folder, { recursive: true, force: true })
  })

  /** A browser of its own with the page in it, under a name. */
  async function visit(name: string, room: string, colorScheme: 'light' | 'dark'): Promise<Visitor> {
    const context = await browser.newContext({ viewport: { width: 900, height: 560 }, colorScheme })
    const page = await context.newPage()
    const complaints: string[] = []
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
    await page.goto(`${url}/?room=${room}`)
    await page.locator('#status[data-state=live]').waitFor(soon)
    await page.locator('#name').fill(name)
    await page.locator('#name').press('Enter')
    return { context, page, complaints, people: () => page.locator('[data-person]').allTextContents() }
  }

  test('two visitors see each other come, move and leave', async () => {
    const ada = await visit('Ada', 'pair', 'light')
    await expect.poll(ada.people, soon).toEqual(['Ada'])
    expect(await ada.page.locator('#alone').isVisible()).toBe(true)

    const ben = await visit('Ben', 'pair', 'dark')
    for (const visitor of [ada, ben]) await expect.poll(async () => (await visitor.people()).toSorted(), soon).toEqual(['Ada', 'Ben'])
    expect(await ada.page.locator('#alone').isVisible()).toBe(false)

    await pointAt(ben.page, 0.25, 0.5)
    await expect.poll(() => cursorOf('Ben', ada.page), soon).toEqual([0.25, 0.5])
    await pointAt(ada.page, 0.6, 0.3)
    await expect.poll(() => cursorOf('Ada', ben.page), soon).toEqual([0.6, 0.3])
    await pointAt(ben.page, 0.8, 0.7)
    await expect.poll(() => cursorOf('Ben', ada.page), soon).toEqual([0.8, 0.7])
    await ada.page.screenshot({ path: pathOf('test-results/cursors-light.png') })
    await ben.page.screenshot({ path: pathOf('test-results/cursors-dark.png') })

    await ben.context.close()
    await expect.poll(ada.people, soon).toEqual(['Ada'])
    await expect.poll(() => ada.page.locator('[data-cursor]').count(), soon).toBe(0)
    expect([...ada.complaints, ...ben.complaints]).toEqual([])
    await ada.context.close()
  })

  test('a page that comes later is shown where the others point', async () => {
    const ada = await visit('Ada', 'late', 'light')
    await pointAt(ada.page, 0.5, 0.5)
    const ben = await visit('Ben', 'late', 'light')
    await expect.poll(() => cursorOf('Ada', ben.page), soon).toEqual([0.5, 0.5])
    await Promise.all([ada.context.close(), ben.context.close()])
  })

  test('rooms do not see each other', async () => {
    const [ada, ben] = await Promise.all([visit('Ada', 'here', 'light'), visit('Ben', 'there', 'light')])
    await pointAt(ben.page, 0.5, 0.5)
    const eve = await visit('Eve', 'here', 'light')
    await pointAt(eve.page, 0.1, 0.1)
    await expect.poll(() => cursorOf('Eve', ada.page), soon).toEqual([0.1, 0.1])
    expect((await ada.people()).toSorted()).toEqual(['Ada', 'Eve'])
    expect(await ada.page.locator('[data-cursor]').count()).toBe(1)
    await Promise.all([ada, ben, eve].map(({ context }) => context.close()))
  })
})

interface Visitor {
  readonly context: BrowserContext
  readonly page: Page
  /** What the browser's console complained about. */
  readonly complaints: readonly string[]
  readonly people: () => Promise<string[]>
}

/** Moves the real mouse to a point of the stage, given in parts of its size. */
async function pointAt(page: Page, x: number, y: number): Promise<void> {
  const stage = (await page.locator('#stage').boundingBox())!
  await page.mouse.move(stage.x + x * stage.width, stage.y + y * stage.height, { steps: 5 })
}

/** Where a page shows the cursor of another, in parts of the stage to two digits; `undefined` when it does not. */
async function cursorOf(name: string, page: Page): Promise<number[] | undefined> {
  const cursor = page.locator('[data-cursor]', { hasText: name })
  if ((await cursor.count()) !== 1) return undefined
  const [stage, box] = [(await page.locator('#stage').boundingBox())!, (await cursor.boundingBox())!]
  return [(box.x - stage.x) / stage.width, (box.y - stage.y) / stage.height].map((part) => Math.round(part * 100) / 100)
}

/** The address that `tidewire dev --json` prints in its one line. */
async function readyUrl(server: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: server.stdout! })) {
    const ready = JSON.parse(line) as { ready?: boolean; url: string }
    if (ready.ready !== true) continue
    server.stdout!.resume()
    return ready.url
  }
  throw new Error(`tidewire dev ended without being ready, code ${server.exitCode}`)
}
