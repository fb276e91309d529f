import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/** A line as a user types it into a terminal. */
export class TerminalProgram {
  readonly #child: ChildProcess
  readonly #lines: string[] = []
  #wake: () => void = () => {}
  #hasEnded = false

  constructor(command: string, cwd: string, env: Readonly<Record<string, string>> = {}) {
    // A process group of its own: npm starts what it runs as its children.
    this.#child = spawn('sh', ['-c', command], {
      cwd,
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], NO_COLOR: '1', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    for (const input of [this.#child.stdout!, this.#child.stderr!])
      createInterface({ input }).on('line', (line) => {
        this.#lines.push(line)
        this.#wake()
      })
    this.#child.on('close', () => {
      this.#hasEnded = true
      this.#wake()
    })
  }

  /** The first line that looks like this. The test's own deadline ends the wait. */
  async line(pattern: RegExp): Promise<string> {
    for (;;) {
      const found = this.#lines.find((line) => pattern.test(line))
      if (found !== undefined) return found
      if (this.#hasEnded) throw new Error(`it ended without a line like ${pattern}:\n${this.#lines.join('\n')}`)
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  async end(): Promise<void> {
    while (!this.#hasEnded) await new Promise<void>((resolve) => (this.#wake = resolve))
    if (this.#child.exitCode !== 0) throw new Error(`it ended with ${this.#child.exitCode}:\n${this.#lines.join('\n')}`)
  }

  /** Ctrl-C. Resolves once it and all that it had started have let go of the terminal. */
  async stop(): Promise<void> {
    if (this.#hasEnded) return
    const closed = once(this.#child, 'close')
    process.kill(-this.#child.pid!, 'SIGINT')
    await closed
  }
}
