import { chromiumLaunchOptions } from '@tidewire/testkit'
import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { chromium, type Browser, type BrowserContextOptions, type Locator, type Page } from 'playwright-core'

export interface Visit {
  readonly page: Page
  /** Errors of the page, of its policy for scripts, and alerts. */
  readonly complaints: string[]
}

export interface VisitOptions extends BrowserContextOptions {
  /** What the tab keeps already. */
  readonly sessionStorage?: Readonly<Record<string, string>>
  readonly localStorage?: Readonly<Record<string, string>>
}

export function openBrowser(): Promise<Browser> {
  return chromium.launch(chromiumLaunchOptions())
}

/** A visitor that has seen the demo. */
export const returning: VisitOptions = { localStorage: { 'tidewire-demo-seen': 'yes' } }

/** Opens a page in a context of its own. */
export async function visit(browser: Browser, address: string, options: VisitOptions = returning): Promise<Visit> {
  const { sessionStorage = {}, localStorage = {}, ...rest } = options
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...rest })
  context.setDefaultTimeout(20_000)
  await context.addInitScript(
    ([session, local]) => {
      for (const [name, value] of Object.entries(session!)) globalThis.sessionStorage.setItem(name, value)
      for (const [name, value] of Object.entries(local!)) globalThis.localStorage.setItem(name, value)
    },
    [sessionStorage, localStorage],
  )
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
  page.on('dialog', (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`)
    void dialog.dismiss()
  })
  await page.goto(address)
  return { page, complaints }
}

/** The rows of the log that say all of this. */
export function entry(page: Page, ...texts: readonly (string | RegExp)[]): Locator {
  return texts.reduce((found, text) => found.filter({ hasText: text }), page.locator('.entry'))
}

/** Kept to be looked at after the tests. */
export async function keepPicture(page: Page, name: string): Promise<void> {
  const folder = fileURLToPath(new URL('../../../test-results/', import.meta.url))
  mkdirSync(folder, { recursive: true })
  await page.screenshot({ path: `${folder}inspector-${name}.png` })
}
