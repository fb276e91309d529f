import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { programPath } from './available.ts'
import { freePort } from '../sockets/free-port.ts'

/** The program `nats-server`, or `undefined`. `npm test` says in TIDEWIRE_NATS_SERVER what it found, empty for none; otherwise NATS_SERVER_PATH and the path are looked at: `describe.skipIf(natsServerPath() === undefined)`. */
export function natsServerPath(env: NodeJS.ProcessEnv = process.env): string | undefined {
  const given = env['TIDEWIRE_NATS_SERVER'] ?? env['NATS_SERVER_PATH']
  if (given === undefined) return programPath('nats-server', env)
  return given === '' ? undefined : given
}

/** A NATS server on 127.0.0.1. It keeps its port when it is started again. */
export class NatsServer {
  readonly port: number
  readonly #folder: string
  #child: ChildProcess | null = null

  private constructor(port: number, folder: string) {
    this.port = port
    this.#folder = folder
  }

  /** `configuration`: lines of its configuration file beside the address. */
  static async start(configuration = ''): Promise<NatsServer> {
    const folder = mkdtempSync(join(tmpdir(), 'tidewire-nats-'))
    const server = new NatsServer(await freePort(), folder)
    writeFileSync(join(folder, 'nats.conf'), `listen: "127.0.0.1:${server.port}"\n${configuration}\n`)
    await server.start()
    return server
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`
  }

  async start(): Promise<void> {
    const path = natsServerPath()
    if (path === undefined) throw new Error('no nats-server on this machine: set NATS_SERVER_PATH')
    const child = spawn(path, ['-c', join(this.#folder, 'nats.conf')], { stdio: ['ignore', 'ignore', 'pipe'] })
    this.#child = child
    await new Promise<void>((resolve, reject) => {
      let log = ''
      const late = setTimeout(() => reject(new Error(`nats-server is not ready: ${log}`)), 10_000)
      child.stderr.on('data', (text: Buffer) => {
        log += text.toString()
        if (!log.includes('Server is ready')) return
        clearTimeout(late)
        resolve()
      })
      child.once('error', reject)
      child.once('exit', (code) => reject(new Error(`nats-server ended with ${code}: ${log}`)))
    })
    child.stderr.removeAllListeners('data')
    child.stderr.resume()
  }

  /** As kill -9. */
  async kill(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise<void>((resolve) => void child.once('exit', () => resolve()))
    child.kill('SIGKILL')
    await ended
  }

  /** `STOP` freezes it, `CONT` lets it go on. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(signal)
  }

  async close(): Promise<void> {
    await this.kill()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
