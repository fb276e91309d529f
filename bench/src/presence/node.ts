import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { endWithUs } from '../child.ts'

export const SECRET = 'the-secret-of-the-benchmark-and-of-nothing-else'
const command = fileURLToPath(new URL('../../../packages/cli/bin/tidewire.js', import.meta.url))
const unlimited = Object.fromEntries(
  [
    ...['CONCURRENT_USERS', 'CHANNELS_PER_CLIENT', 'JOINS_PER_SECOND', 'EVENTS_PER_SECOND'].map((name) => `TENANT_MAX_${name}`),
    ...['TIDEWIRE_MAX_PRESENCE_EVENTS_PER_SECOND', 'CLIENT_PRESENCE_MAX_CALLS'],
  ].map((name) => [name, 'unlimited']),
)

/** One `tidewire start`, as it is built, on the NATS at this address. */
export class TidewireNode {
  readonly name: string
  readonly port: number
  /** Milliseconds from the time when it reached the other nodes to the time when it took clients. */
  readonly synchronizedMs: number
  readonly listensSince: number
  readonly #process: ChildProcess

  private constructor(name: string, process: ChildProcess, port: number, connectedAt: number) {
    this.name = name
    this.#process = process
    this.port = port
    this.listensSince = performance.now()
    this.synchronizedMs = this.listensSince - connectedAt
  }

  static async start(name: string, natsUrl: string): Promise<TidewireNode> {
    const child = spawn(process.execPath, [command, 'start'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        ...process.env,
        ...unlimited,
        ...{ PORT: '0', HOST: '127.0.0.1', NODE_ENV: 'production', API_JWT_SECRET: SECRET, LOG_LEVEL: 'info' },
        ...{ TIDEWIRE_NATS_URL: natsUrl, TIDEWIRE_NODE_NAME: name },
      },
    })
    endWithUs(child)
    let connectedAt = NaN
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.includes('connected to the other nodes')) connectedAt = performance.now()
      const found = /listening on http:\/\/[^\s"]+:(\d+)/.exec(line)
      if (found === null) continue
      child.stdout.resume()
      return new TidewireNode(name, child, Number(found[1]), connectedAt)
    }
    throw new Error(`node ${name} ended before it listened`)
  }

  get pid(): number {
    return this.#process.pid!
  }

  /** Of the whole process, garbage that was not collected yet included. */
  get residentBytes(): number {
    const kilobytes = /^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))?.[1]
    return Number(kilobytes) * 1_024
  }

  /** As kill -9, or with SIGTERM. */
  async stop(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const ended = once(this.#process, 'exit')
    this.#process.kill(signal)
    await ended
  }
}
