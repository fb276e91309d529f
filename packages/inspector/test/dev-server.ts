import { RealtimeClient } from '@tidewire/client'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll } from 'vitest'
import { CliSandbox } from '../../cli/test/cli-process.ts'
import { openBrowser } from './visit.ts'

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

/** A `tidewire dev` on which these statements ran, and a browser, for the tests of one file. */
export function useDevServer(...statements: readonly string[]): { readonly server: DevServer; readonly browser: Browser } {
  let server: DevServer
  let browser: Browser
  beforeAll(async () => {
    server = await startDev()
    await server.sql(...statements)
    browser = await openBrowser()
  }, 90_000)
  afterAll(async () => {
    await browser?.close()
    await server?.close()
  })
  return {
    get server() {
      return server
    },
    get browser() {
      return browser
    },
  }
}

async function startDev(): Promise<DevServer> {
  const sandbox = new CliSandbox()
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
