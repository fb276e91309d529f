import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

const DEADLINE_MS = 30_000

/** A program of a page: a module that says when its last line was reached, or a command in a shell. */
export class RunningBlock {
  readonly #child: ChildProcess
  readonly #lines: string[] = []
  readonly #complaints: string[] = []
  #isDone = false
  #code: number | null = null
  #hasEnded = false
  #shown = 0
  #wake: () => void = () => {}

  constructor(command: string, args: readonly string[], options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv }) {
    const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
    this.#child = child
    createInterface({ input: child.stdout! }).on('line', (line) => {
      this.#lines.push(line)
      this.#wake()
    })
    createInterface({ input: child.stderr! }).on('line', (line) => {
      this.#complaints.push(line)
      this.#wake()
    })
    child.on('message', () => {
      this.#isDone = true
      this.#wake()
    })
    child.on('close', (code) => {
      this.#code = code
      this.#hasEnded = true
      this.#wake()
    })
  }

  /** A module: its last statement was run. */
  done(): Promise<void> {
    return this.#until(() => this.#isDone, 'did not reach its end')
  }

  /** A command that ends by itself. */
  async ended(): Promise<void> {
    await this.#until(() => this.#hasEnded, 'did not end')
    if (this.#code !== 0) throw this.#failure(`ended with ${this.#code}`)
  }

  /** A command that goes on: it said something. */
  begun(): Promise<void> {
    const isNews = (line: string): boolean => !line.endsWith(' s so far')
    return this.#until(() => [...this.#complaints, ...this.#lines].some(isNews), 'said nothing')
  }

  /** The lines that it printed next, as soon as there are so many. */
  async printed(count: number): Promise<string[]> {
    await this.#until(() => this.#lines.length >= this.#shown + count, `did not print ${count} lines`)
    const lines = this.#lines.slice(this.#shown)
    this.#shown = this.#lines.length
    return lines
  }

  /** A line that no `printed` has returned has this in it, now or later. */
  says(text: string): Promise<void> {
    return this.#until(() => this.#lines.slice(this.#shown).some((line) => line.includes(text)), `did not print "${text}"`)
  }

  async stop(): Promise<void> {
    if (this.#hasEnded) return
    const closed = once(this.#child, 'close')
    this.#child.kill('SIGINT')
    await closed
  }

  async #until(isSo: () => boolean, otherwise: string): Promise<void> {
    const endsAt = Date.now() + DEADLINE_MS
    const deadline = setTimeout(() => this.#wake(), DEADLINE_MS)
    try {
      while (!isSo()) {
        if (this.#hasEnded || Date.now() >= endsAt) throw this.#failure(otherwise)
        await new Promise<void>((resolve) => (this.#wake = resolve))
      }
    } finally {
      clearTimeout(deadline)
    }
  }

  #failure(what: string): Error {
    return new Error([`The program ${what}.`, ...this.#lines.map((line) => `> ${line}`), ...this.#complaints].join('\n'))
  }
}
