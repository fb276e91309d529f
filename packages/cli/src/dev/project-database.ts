import { join } from 'node:path'
import { RealtimeError } from '@tidewire/protocol'
import { openDatabase, placeOf, type Database } from '../database.ts'
import { failed, misused, reasonOf } from '../failure.ts'
import { printNotice as warn } from '../output.ts'
import type { PrivateFolder } from '../project/private-folder.ts'
import { showProgress } from '../progress-bar.ts'
import { postgresUrl } from '../values.ts'

/** The database of a dev server: the project's own Postgres, another one, or none. */
export interface ProjectDatabase {
  /** `null`: there is none. */
  readonly database: Database | null
  /** With its password; not for logs. */
  readonly url: string | null
  /** For the greeting. */
  readonly description: string
  close(): Promise<void>
}

const SESSIONS = 5

export interface ProjectDatabaseOptions {
  readonly folder: PrivateFolder
  /** A Postgres to use instead of the project's own. */
  readonly url: string | undefined
  readonly isOff: boolean
  /** The slot in that Postgres outlives the server. The project's own Postgres keeps it anyway. */
  readonly keepsSlot: boolean
  /** The description is not shown, so that a missing database is reported on stderr. */
  readonly isQuiet: boolean
  /** Prints a sentence for the user at the terminal. */
  readonly print: (sentence: string) => void
}

/**
 * Starts the project's Postgres, or connects to another. Where no Postgres can run the server goes without, and says why:
 * broadcast and presence need none. Throws a Failure.
 */
export async function openProjectDatabase({
  folder,
  url,
  isOff,
  keepsSlot,
  isQuiet,
  print,
}: ProjectDatabaseOptions): Promise<ProjectDatabase> {
  if (isOff && url !== undefined) throw misused('--db and --no-db exclude each other.')
  if (keepsSlot && url === undefined) throw misused('--keep-slot goes with --db: the Postgres of the project keeps its slot anyway.')
  if (isOff) return { database: null, url: null, description: 'none, as you asked', close: () => Promise.resolve() }
  if (url === undefined) return openEmbedded(folder, isQuiet)
  if (postgresUrl(url) === undefined) throw misused('--db must be a URL such as postgres://user:password@host:5432/name.')
  const waiting: string[] = []
  const database = await openDatabase({
    url,
    poolSize: SESSIONS,
    temporarySlot: !keepsSlot,
    onWaiting: (sentence) => waiting.push(sentence),
    onReady: () => print('The database answers: private channels and Postgres changes are there.'),
  })
  const description = waiting.length === 0 ? placeOf(url) : `${placeOf(url)}, not there yet. ${waiting[0]}; it is tried again`
  return { database, url, description, close: () => database.close() }
}

async function openEmbedded(folder: PrivateFolder, isQuiet: boolean): Promise<ProjectDatabase> {
  const { startEmbeddedPostgres } = await import('@tidewire/postgres')
  folder.letThrough()
  try {
    const postgres = await showProgress('Starting Postgres', () => startEmbeddedPostgres({ dataDir: join(folder.path, 'postgres') }))
    try {
      const database = await openDatabase({ url: postgres.url, poolSize: SESSIONS, isOurs: true })
      return {
        database,
        url: postgres.url,
        description: `Postgres on ${placeOf(postgres.url)}, in ${folder.shown('postgres')}`,
        // The replication session is closed first: Postgres would wait for it when it stops.
        close: async () => {
          await database.close()
          await postgres.stop()
        },
      }
    } catch (error) {
      await postgres.stop()
      throw error
    }
  } catch (error) {
    if (isOfFiles(error))
      throw failed(
        `Cannot use ${error.path ?? folder.path} (${reasonOf(error)}): give ${folder.shown('')} back to your user, or start with --no-db.`,
        error,
      )
    if (!(error instanceof RealtimeError) || error.code !== 'database-unavailable') throw error
    // With --json there is no greeting that says so.
    if (isQuiet) warn(`There is no database: ${error.message}`)
    return { database: null, url: null, description: `none. ${error.message}`, close: () => Promise.resolve() }
  }
}

/** Whether the error is of a system call about a file, not of the network. */
function isOfFiles(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && error.syscall !== 'connect'
}
