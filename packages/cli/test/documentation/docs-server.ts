import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { databasePool, type DatabasePool } from '@tidewire/postgres'
import { CliSandbox, type CliProcess } from '../cli-process.ts'
import { pathOf } from './pages.ts'

interface Ready {
  readonly url: string
  readonly anonKey: string
  readonly serviceKey: string
  readonly jwtSecret: string
  readonly databaseUrl: string
}

/** What pages call the server that a reader has started. */
const USUAL_PLACE = '127.0.0.1:4000'

/** Nothing of a page is there when the next one begins. */
const CLEAN = `do $$
declare
  item record;
begin
  for item in select format('drop table if exists %I.%I cascade', schemaname, tablename) as command from pg_tables where schemaname = 'public'
    union all select format('drop function if exists %s cascade', oid::regprocedure) from pg_proc where pronamespace = 'public'::regnamespace
    union all select format('drop policy if exists %I on %I.%I', policyname, schemaname, tablename) from pg_policies where schemaname = 'realtime'
  loop execute item.command; end loop;
  truncate realtime.messages;
end $$`

/** One `tidewire dev` for all pages, with the commands of the workspace on the path. */
export class DocsServer {
  readonly folder: string
  readonly env: NodeJS.ProcessEnv
  readonly #sandbox: CliSandbox
  readonly #dev: CliProcess
  readonly #ready: Ready
  readonly #pool: DatabasePool

  private constructor(sandbox: CliSandbox, dev: CliProcess, ready: Ready) {
    this.#sandbox = sandbox
    this.#dev = dev
    this.#ready = ready
    this.folder = sandbox.folder
    this.#pool = databasePool({ url: ready.databaseUrl, maxConnections: 1, connectTimeoutMs: 10_000 })
    this.env = {
      PATH: `${join(this.folder, 'bin')}:${process.env['PATH'] ?? ''}`,
      HOME: this.folder,
      NO_COLOR: '1',
      ANON_KEY: ready.anonKey,
      SERVICE_KEY: ready.serviceKey,
      API_JWT_SECRET: ready.jwtSecret,
      METRICS_JWT_SECRET: ready.jwtSecret,
      DATABASE_URL: ready.databaseUrl,
    }
  }

  static async start(): Promise<DocsServer> {
    const sandbox = new CliSandbox()
    mkdirSync(join(sandbox.folder, 'bin'))
    const node = JSON.stringify(process.execPath)
    const command = (name: string, first: string): void =>
      writeFileSync(
        join(sandbox.folder, 'bin', name),
        `#!/bin/sh\n${first}exec ${node} ${JSON.stringify(pathOf('packages/cli/bin/tidewire.js'))} "$@"\n`,
        { mode: 0o755 },
      )
    command('tidewire', '')
    command('npx', '[ "$1" = tidewire ] && shift || exit 127\n')
    symlinkSync(pathOf('examples'), join(sandbox.folder, 'examples'))
    const dev = sandbox.start(['dev', '--port', '0', '--json'])
    return new DocsServer(sandbox, dev, await dev.json<Ready>())
  }

  /** A block's text with the place and the key of this server in it. */
  placed(code: string): string {
    return code.replaceAll(USUAL_PLACE, new URL(this.#ready.url).host).replaceAll('YOUR_ANON_KEY', this.#ready.anonKey)
  }

  async sql(text: string): Promise<void> {
    await this.#pool.withSession((session) => session.query(text))
  }

  clean(): Promise<void> {
    return this.sql(CLEAN)
  }

  async stop(): Promise<void> {
    await this.#pool.close()
    await this.#dev.stop()
    await this.#sandbox.clear()
  }
}
