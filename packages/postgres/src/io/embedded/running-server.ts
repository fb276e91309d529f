import { setTimeout as delay } from 'node:timers/promises'
import { takeLease, type LeaseAnswer } from './cluster-lease.ts'
import { isAnotherProgram, isRunning, readPostmasterFile } from './postmaster-file.ts'

/** A Postgres that runs on 127.0.0.1 for as long as this process wants it. */
export interface EmbeddedPostgres {
  /** `postgres://postgres:<password>@127.0.0.1:<port>/postgres`: the superuser's, so not for logs. */
  readonly url: string
  readonly port: number
  readonly pid: number
  readonly dataDir: string
  /** Whether the server was found running, left by a process that was killed. */
  readonly adopted: boolean
  /** Whether the database was made by this call. */
  readonly created: boolean
  /** Stops the server: at most five seconds, no data is lost. May be called more than once. */
  stop(): Promise<void>
}

/** One server from the moment it answers until it has ended. */
export class RunningServer {
  readonly handle: EmbeddedPostgres
  readonly #onExit: () => void
  #release: (() => Promise<void>) | null = null
  #stopped: Promise<void> | null = null
  // A process that ends without stop() must not leave a server behind.
  readonly #onProcessExit = (): void => this.#signal('SIGINT')

  constructor(facts: Omit<EmbeddedPostgres, 'stop'>, onExit: () => void) {
    this.handle = { ...facts, stop: () => (this.#stopped ??= this.#shutDown()) }
    this.#onExit = onExit
  }

  /** Asks for the right to stop the server; until it is held, the server is left alone. */
  async takeCharge(): Promise<LeaseAnswer> {
    const answer = await takeLease(this.handle.url, this.handle.dataDir, () => void this.#regain())
    if (answer.kind === 'held') {
      this.#release = answer.release
      process.removeListener('exit', this.#onProcessExit)
      process.once('exit', this.#onProcessExit)
    }
    return answer
  }

  async #shutDown(): Promise<void> {
    await this.#release?.()
    // "Fast" ends every session and writes a checkpoint; "immediate" leaves that to the next start's recovery, which loses nothing either.
    for (const [signal, patienceMs] of [
      ['SIGINT', 3_000],
      ['SIGQUIT', 1_500],
      ['SIGKILL', 10_000],
    ] as const) {
      this.#signal(signal)
      if (await this.#ended(patienceMs)) break
    }
    process.removeListener('exit', this.#onProcessExit)
  }

  /** The lease is lost when one of the server's processes crashes, which the server survives, or when the server ends. */
  async #regain(): Promise<void> {
    while (this.#stopped === null && this.#isOurs()) {
      const answer = await this.takeCharge()
      if (answer.kind === 'held') {
        if (this.#stopped !== null) await answer.release()
        return
      }
      await delay(100, undefined, { ref: false })
    }
    if (this.#stopped !== null) return
    this.#stopped = Promise.resolve()
    process.removeListener('exit', this.#onProcessExit)
    this.#onExit()
  }

  async #ended(patienceMs: number): Promise<boolean> {
    const until = Date.now() + patienceMs
    // The file goes a moment before the process does.
    const { pid } = this.handle
    while (isRunning(pid) && !isAnotherProgram(pid)) {
      if (Date.now() > until) return false
      await delay(10)
    }
    return true
  }

  #isOurs(): boolean {
    const { dataDir, pid } = this.handle
    return readPostmasterFile(dataDir)?.pid === pid && isRunning(pid)
  }

  #signal(signal: NodeJS.Signals): void {
    if (!this.#isOurs()) return
    try {
      process.kill(this.handle.pid, signal)
    } catch {}
  }
}
