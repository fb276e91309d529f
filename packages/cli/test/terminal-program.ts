import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { afterAll } from 'vitest'
import { openFolder } from './cli-process.ts'

/** A folder of its own, which is removed after the last test, and programs in it or below, which are stopped before. */
export function useTerminal(): {
  readonly folder: string
  run(command: string, cwd: string, env?: Readonly<Record<string, string>>): TerminalProgram
} {
  const folder = openFolder('tidewire-terminal-')
  const running: TerminalProgram[] = []
  afterAll(async () => {
    for (const program of running.toReversed()) await program.stop()
    rmSync(folder, { recursive: true, force: true })
  })
  return {
    folder,
    run: (command, cwd, env) => {
      const program = new TerminalProgram(command, cwd, env)
      running.push(program)
      return program
    },
  }
}

/** A line as a user types it into a terminal. */
class TerminalProgram {
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
