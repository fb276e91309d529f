import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '@tidewire/postgres'
import { openFolder } from './cli-process.ts'

export interface DatabaseOptions {
  /** Of its data: one name is one database, also after a restart. Default `db`. */
  readonly name?: string
  /** Default: any free one. */
  readonly port?: number
  /** Default: nothing has to survive a power cut. */
  readonly settings?: Readonly<Record<string, string>>
}

/** A folder with the data of Postgres servers that a test starts; `clear` stops them and removes it. */
export class DatabaseFolder {
  readonly #path: string = openFolder('tidewire-postgres-')
  /** By name; one that was killed and started again is there once. */
  readonly #running = new Map<string, EmbeddedPostgres>()

  /** TIDEWIRE_TEST_POSTGRES names another installation than the one that npm brought. */
  async start({ name = 'db', port, settings = { fsync: 'off' } }: DatabaseOptions = {}): Promise<EmbeddedPostgres> {
    const postgres = await startEmbeddedPostgres({
      installation: process.env['TIDEWIRE_TEST_POSTGRES'],
      dataDir: join(this.#path, name),
      ...(port === undefined ? {} : { port }),
      settings,
    })
    this.#running.set(name, postgres)
    return postgres
  }

  async clear(): Promise<void> {
    for (const postgres of this.#running.values()) await postgres.stop()
    rmSync(this.#path, { recursive: true, force: true })
  }
}
