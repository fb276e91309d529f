import { RealtimeClient } from '@tidewire/client'
import { chmodSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { CliSandbox } from '../../cli/test/cli-process.ts'

/** A real `tidewire dev` with a real Postgres, and a client of it. */
export interface DevServer {
  readonly sandbox: CliSandbox
  readonly client: RealtimeClient
  readonly url: string
  readonly anonKey: string
  readonly serviceKey: string
  /** Of the page. */
  readonly address: string
  /** As the login of `tidewire sql`. */
  sql(...statements: readonly string[]): Promise<void>
  close(): Promise<void>
}

export async function startDev(): Promise<DevServer> {
  const sandbox = new CliSandbox()
  // Run by root, Postgres has an account of its own, which must get to its folder.
  chmodSync(sandbox.folder, 0o755)
  const ready = sandbox.start(['dev', '--port', '0', '--json'])
  const { url, anonKey, serviceKey } = await ready.json<{ readonly url: string; readonly anonKey: string; readonly serviceKey: string }>()
  const client = new RealtimeClient(`${url}/realtime/v1`, { apikey: anonKey })
  const { databaseUrl } = JSON.parse(readFileSync(join(sandbox.folder, '.tidewire', 'dev.json'), 'utf8')) as {
    readonly databaseUrl: string
  }
  const database = new pg.Client({ connectionString: databaseUrl })
  await database.connect()
  return {
    sandbox,
    client,
    url,
    anonKey,
    serviceKey,
    address: `${url}/_/`,
    sql: async (...statements) => void (await database.query(statements.join(';'))),
    close: async () => {
      await client.removeAllChannels()
      await database.end()
      await sandbox.clear()
    },
  }
}
