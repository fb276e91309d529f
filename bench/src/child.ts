import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The CPU that a child is held to; null leaves it to the system. */
export type Core = number | null

const children = new Set<ChildProcess>()

/** A TypeScript file of this folder in a process of its own, with IPC. */
export class Child<Received extends { readonly kind: string }> {
  readonly #process: ChildProcess
  readonly #name: string
  readonly #backlog: Received[] = []
  #wake: () => void = () => {}
  #ended: string | null = null

  constructor(file: string, core: Core) {
    this.#name = file
    const [command, ...words] = commandLine(fileURLToPath(new URL(file, import.meta.url)), core)
    this.#process = spawn(command!, words, {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, NODE_ENV: 'production' },
    })
    children.add(this.#process)
    this.#process.on('message', (message) => {
      this.#backlog.push(message as Received)
      this.#wake()
    })
    const end = (why: string): void => {
      this.#ended ??= why
      children.delete(this.#process)
      this.#wake()
    }
    this.#process.on('error', (error) => end(error.message))
    this.#process.on('exit', (code, signal) => end(`ended with ${signal ?? code}`))
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  send(message: object | string): void {
    this.#process.send(message, () => {})
  }

  /** The next message. Rejects when the process ends, or after `timeoutMs`. */
  async next(timeoutMs: number): Promise<Received> {
    const deadline = performance.now() + timeoutMs
    while (this.#backlog.length === 0) {
      if (this.#ended !== null) throw new Error(`${this.#name}: ${this.#ended}`)
      const left = deadline - performance.now()
      if (left <= 0) throw new Error(`${this.#name}: nothing came for ${timeoutMs} ms`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    return this.#backlog.shift()!
  }

  /** Ends the process, by force if it takes longer than two seconds. */
  async stop(): Promise<void> {
    if (this.#ended !== null) return
    const exited = new Promise((resolve) => this.#process.once('exit', resolve))
    if (this.#process.connected) this.#process.disconnect()
    const force = setTimeout(() => this.#process.kill('SIGKILL'), 2_000)
    await exited
    clearTimeout(force)
  }
}

/** For a program that is started in another way: it does not outlive the benchmark. */
export function endWithUs(child: ChildProcess): void {
  children.add(child)
  child.once('exit', () => children.delete(child))
}

/** Ends whatever still runs, at once: for when the benchmark itself is stopped. */
export function killChildren(): void {
  for (const child of children) child.kill('SIGKILL')
}

/** Ten thousand sockets need more open files than a shell is usually given. */
function commandLine(file: string, core: Core): string[] {
  const node = [process.execPath, '--import', import.meta.resolve('tsx'), file]
  if (process.platform === 'win32') return node
  const pinned = core === null ? node : ['taskset', '-c', String(core), ...node]
  return ['/bin/sh', '-c', 'ulimit -n "$(ulimit -H -n)" 2>/dev/null; exec "$@"', 'sh', ...pinned]
}

/** Microseconds of CPU that a process has used, from the kernel's own account; null where there is none. */
export function cpuMicrosOf(pid: number): number | null {
  const folder = `/proc/${pid}/task`
  if (!existsSync(folder)) return null
  let nanoseconds = 0
  for (const task of readdirSync(folder)) {
    try {
      nanoseconds += Number(readFileSync(`${folder}/${task}/schedstat`, 'utf8').split(' ')[0])
    } catch {
      // The thread has just ended.
    }
  }
  return nanoseconds / 1000
}
