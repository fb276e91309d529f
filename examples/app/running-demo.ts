import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { chromiumLaunchOptions } from '@tidewire/testkit'
import { chromium, type Browser, type Page } from 'playwright-core'
import { CliSandbox, type CliProcess } from '../../packages/cli/test/cli-process.ts'

const root = new URL('../../', import.meta.url)
export const pathOf = (path: string): string => fileURLToPath(new URL(path, root))

/** A demo as its README starts it, and a browser. */
export class RunningDemo {
  readonly #sandbox: CliSandbox
  readonly #dev: CliProcess
  readonly #app: ChildProcess
  readonly #browser: Browser
  readonly #url: string
  /** What the consoles of all pages complained about. */
  readonly complaints: string[] = []

  private constructor(parts: { sandbox: CliSandbox; dev: CliProcess; app: ChildProcess; browser: Browser; url: string }) {
    this.#sandbox = parts.sandbox
    this.#dev = parts.dev
    this.#app = parts.app
    this.#browser = parts.browser
    this.#url = parts.url
  }

  static async start(name: string): Promise<RunningDemo> {
    const sandbox = new CliSandbox()
    // Run by root, Postgres has an account of its own, which must get to its folder.
    chmodSync(sandbox.folder, 0o755)
    const dev = sandbox.start(['dev', '--port', '0', '--json'])
    await dev.json()
    const schema = await sandbox.run(['sql', '--file', pathOf(`examples/${name}/schema.sql`)])
    if (schema.code !== 0) throw new Error(schema.stderr)
    const app = spawn(process.execPath, [pathOf('examples/app/main.js'), name, '0'], {
      cwd: sandbox.folder,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const url = await firstUrl(app)
    return new RunningDemo({ sandbox, dev, app, browser: await chromium.launch(chromiumLaunchOptions()), url })
  }

  /** A browser of its own with the page in it, signed in under a name. */
  async visit(name: string, options: { query?: string; colorScheme?: 'light' | 'dark'; width?: number } = {}): Promise<Page> {
    const { query = '', colorScheme = 'light', width = 860 } = options
    const context = await this.#browser.newContext({ viewport: { width, height: 620 }, colorScheme })
    const page = await context.newPage()
    page.on('pageerror', (error) => this.complaints.push(error.message))
    page.on('console', (message) => message.type() === 'error' && this.complaints.push(message.text()))
    await page.goto(`${this.#url}/${query}#${name}`)
    return page
  }

  /** Runs SQL in the demo's database, in a terminal. */
  async sql(text: string): Promise<void> {
    const { code, stderr } = await this.#sandbox.run(['sql', text])
    if (code !== 0) throw new Error(stderr)
  }

  async stop(): Promise<void> {
    await this.#browser.close()
    const ended = once(this.#app, 'exit')
    this.#app.kill('SIGINT')
    await ended
    await this.#dev.stop()
    await this.#sandbox.clear()
  }
}

async function firstUrl(app: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: app.stdout! })) {
    const [url] = /http:\/\/\S+/.exec(line) ?? []
    if (url !== undefined) return url
  }
  throw new Error(`the application ended with ${app.exitCode}`)
}
