import { RealtimeClient } from '@tidewire/client'
import { chmodSync } from 'node:fs'
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
  return {
    sandbox,
    client,
    url,
    anonKey,
    serviceKey,
    address: `${url}/_/`,
    sql: async (...statements) => {
      const { code, stderr } = await sandbox.run(['sql', statements.join(';')])
      if (code !== 0) throw new Error(stderr)
    },
    close: async () => {
      await client.removeAllChannels()
      await sandbox.clear()
    },
  }
}
