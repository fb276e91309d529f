import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { chromiumLaunchOptions } from '@tidewire/testkit'
import { chromium, type Browser, type Page } from 'playwright-core'
import { CliSandbox, type CliProcess } from '../../packages/cli/test/cli-process.ts'

const root = new URL('../../', import.meta.url)
export const pathOf = (path: string): string => fileURLToPath(new URL(path, root))

/** A `tidewire dev` with its database, and a browser: what the demos have in common. */
export class DemoServer {
  readonly #sandbox: CliSandbox
  readonly #dev: CliProcess
  readonly #browser: Browser

  private constructor(sandbox: CliSandbox, dev: CliProcess, browser: Browser) {
    this.#sandbox = sandbox
    this.#dev = dev
    this.#browser = browser
  }

  static async start(): Promise<DemoServer> {
    const sandbox = new CliSandbox()
    const dev = sandbox.start(['dev', '--port', '0', '--json'])
    const [browser] = await Promise.all([chromium.launch(chromiumLaunchOptions()), dev.json()])
    return new DemoServer(sandbox, dev, browser)
  }

  /** Starts a demo as its README does. */
  async open(name: string): Promise<RunningDemo> {
    await this.#sql('--file', pathOf(`examples/${name}/schema.sql`))
    const app = spawn(process.execPath, [pathOf('examples/app/main.js'), name, '0'], {
      cwd: this.#sandbox.folder,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    return new RunningDemo({ app, url: await firstUrl(app), browser: this.#browser, sql: (text) => this.#sql(text) })
  }

  async stop(): Promise<void> {
    await this.#browser.close()
    await this.#dev.stop()
    await this.#sandbox.clear()
  }

  async #sql(...args: string[]): Promise<void> {
    const { code, stderr } = await this.#sandbox.run(['sql', ...args])
    if (code !== 0) throw new Error(stderr)
  }
}

/** The application of a demo. */
export class RunningDemo {
  /** Runs SQL in the demo's database, in a terminal. */
  readonly sql: (text: string) => Promise<void>
  /** What the consoles of all pages complained about. */
  readonly complaints: string[] = []
  readonly #app: ChildProcess
  readonly #browser: Browser
  readonly #url: string

  constructor(parts: { app: ChildProcess; url: string; browser: Browser; sql: (text: string) => Promise<void> }) {
    this.#app = parts.app
    this.#url = parts.url
    this.#browser = parts.browser
    this.sql = parts.sql
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

  async stop(): Promise<void> {
    const ended = once(this.#app, 'exit')
    this.#app.kill('SIGINT')
    await ended
  }
}

async function firstUrl(app: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: app.stdout! })) {
    const [url] = /http:\/\/\S+/.exec(line) ?? []
    if (url !== undefined) return url
  }
  throw new Error(`the application ended with ${app.exitCode}`)
}
