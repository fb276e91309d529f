import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const bin = fileURLToPath(new URL('../bin/tidewire.js', import.meta.url))
const DEADLINE_MS = 15_000
/** What a slow machine makes any command say; a test that is about it asks the process, not its outcome. */
const PROGRESS = /^[A-Z][a-z ]+: \d+ s so far\n/gm

export interface CliOptions {
  readonly cwd: string
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
}

export interface CliOutcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A new folder. Run by root, Postgres has an account of its own, which must get to what is in it. */
export function openFolder(prefix: string): string {
  const folder = mkdtempSync(join(tmpdir(), prefix))
  chmodSync(folder, 0o755)
  return folder
}

/** Everything that a test starts here ends with it. */
export class CliSandbox {
  readonly folder: string = openFolder('tidewire-cli-')
  readonly #processes: CliProcess[] = []

  /** Runs the built command to its end. */
  async run(args: readonly string[], options: Partial<CliOptions> = {}): Promise<CliOutcome> {
    const started = this.start(args, options)
    return started.outcome
  }

  /** Starts the built command. */
  start(args: readonly string[], options: Partial<CliOptions> = {}): CliProcess {
    const started = new CliProcess(args, { cwd: this.folder, ...options })
    this.#processes.push(started)
    return started
  }

  /** The folder stays. */
  async stopAll(): Promise<void> {
    for (const started of this.#processes) await started.kill()
  }

  async clear(): Promise<void> {
    await this.stopAll()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export class CliProcess {
  readonly outcome: Promise<CliOutcome>
  readonly #child: ChildProcess
  readonly #lines: string[] = []
  #wake: () => void = () => {}
  #hasEnded = false
  /** What it said beside its output so far, how long things take on this machine included. */
  stderr = ''

  constructor(args: readonly string[], { cwd, env, input }: CliOptions) {
    const child = spawn(process.execPath, [bin, ...args], {
      cwd,
      env: { ...inherited(), ...env },
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      windowsHide: true,
    })
    child.stdin?.end(input)
    this.#child = child
    createInterface({ input: child.stdout! }).on('line', (line) => {
      this.#lines.push(line)
      this.#wake()
    })
    this.outcome = this.#end()
  }

  get pid(): number {
    return this.#child.pid!
  }

  /** The first line on stdout, from the beginning, of which this is true. Rejects when the process ends without it or a deadline passes. */
  async line(matches: (line: string) => boolean = () => true, withinMs: number = DEADLINE_MS): Promise<string> {
    const deadline = setTimeout(() => this.#wake(), withinMs)
    const endsAt = Date.now() + withinMs
    try {
      for (;;) {
        const found = this.#lines.find(matches)
        if (found !== undefined) return found
        if (this.#hasEnded || Date.now() >= endsAt) throw new Error(`no such line; stdout was:\n${this.#lines.join('\n')}`)
        await new Promise<void>((resolve) => (this.#wake = resolve))
      }
    } finally {
      clearTimeout(deadline)
    }
  }

  /** The first JSON line of which this is true. */
  async json<Value = any>(matches: (value: Value) => boolean = () => true): Promise<Value> {
    const line = await this.line((candidate) => candidate.startsWith('{') && matches(JSON.parse(candidate) as Value))
    return JSON.parse(line) as Value
  }

  /** As `| head -1` does when it has its line. */
  closeStdout(): void {
    this.#child.stdout!.destroy()
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  async stop(signal: NodeJS.Signals = 'SIGINT'): Promise<CliOutcome> {
    this.signal(signal)
    return this.outcome
  }

  async kill(): Promise<void> {
    if (!this.#hasEnded) this.signal('SIGKILL')
    await this.outcome
  }

  async #end(): Promise<CliOutcome> {
    let stdout = ''
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.stderr += text))
    const [code] = (await once(this.#child, 'close')) as [number | null]
    this.#hasEnded = true
    this.#wake()
    return { code, stdout, stderr: this.stderr.replace(PROGRESS, '') }
  }
}

/** The environment of the tests, without what the command itself would read. */
function inherited(): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env).filter(
    ([name]) =>
      !/^(API_|TIDEWIRE_|TENANT_|CLIENT_|METRICS_|JWT_|DB_|DATABASE_|NODE_|PORT$|HOST$|LOG_LEVEL$|MAX_CONNECTIONS$|VITEST)/.test(name),
  )
  return { ...Object.fromEntries(entries), NO_COLOR: '1' }
}
