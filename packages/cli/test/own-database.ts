import type { EmbeddedPostgres } from '@tidewire/postgres'
import pg from 'pg'
import { afterEach, beforeEach } from 'vitest'
import { CliSandbox, type CliProcess } from './cli-process.ts'
import { DatabaseFolder } from './database-folder.ts'

export interface Ready {
  readonly url: string
  readonly serviceKey: string
  readonly anonKey: string
}

/** A Postgres of the user's own, and `tidewire dev --db` on it. */
export interface OwnDatabase {
  postgres: EmbeddedPostgres
  sandbox: CliSandbox
  /** On a session of its own. */
  query<Row extends pg.QueryResultRow>(text: string): Promise<Row[]>
  /** Starts `tidewire dev` on it, and waits until it is ready. */
  dev(...more: string[]): Promise<{ process: CliProcess; ready: Ready }>
  slots(): Promise<{ name: string; temporary: boolean }[]>
  /** The table `journal`, which every user may see. */
  makeJournal(): Promise<void>
}

/** Starts one before each test of the file, and stops it and what runs on it afterwards. */
export function useOwnDatabase(): OwnDatabase {
  let folder: DatabaseFolder
  const it: OwnDatabase = {
    postgres: undefined!,
    sandbox: undefined!,
    query: async (text) => {
      const client = new pg.Client({ connectionString: it.postgres.url })
      client.on('error', () => {})
      await client.connect()
      try {
        return (await client.query(text)).rows
      } finally {
        await client.end()
      }
    },
    dev: async (...more) => {
      const process = it.sandbox.start(['dev', '--port', '0', '--json', '--db', it.postgres.url, ...more])
      return { process, ready: await process.json<Ready>() }
    },
    slots: () => it.query('select slot_name as name, temporary from pg_replication_slots'),
    makeJournal: async () => {
      await it.query(
        `create table journal (id bigserial primary key, body text); alter table journal enable row level security;
         create policy all_of_them on journal for select using (length(body) > 0);
         grant select on journal to anon; alter publication supabase_realtime add table journal`,
      )
    },
  }
  beforeEach(async () => {
    folder = new DatabaseFolder()
    it.postgres = await folder.start()
    it.sandbox = new CliSandbox()
  })
  afterEach(async () => {
    await it.sandbox.clear()
    await folder.clear()
  })
  return it
}
