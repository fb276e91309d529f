import { dirname, resolve } from 'node:path'
import { z } from 'zod'
import { reasonOf } from '../failure.ts'
import { parseJson } from '../values.ts'
import { PrivateFolder } from './private-folder.ts'

/** The address of the project's `dev` server, for the other commands. */
export interface RunningServerRecord {
  readonly url: string
  readonly pid: number
  /** Its database, password included; the file is its owner's alone. */
  readonly databaseUrl?: string | undefined
}

const FILE = 'dev.json'

const recordSchema = z.object({ url: z.url(), pid: z.int().positive(), databaseUrl: z.string().optional() })

/** Records the server of this process. Returns a function that removes the record, unless a later server has replaced it. Throws a Failure. */
export function recordServer(folder: PrivateFolder, server: Omit<RunningServerRecord, 'pid'>): () => void {
  folder.write(FILE, `${JSON.stringify({ ...server, pid: process.pid } satisfies RunningServerRecord)}\n`)
  return () => {
    if (readRecord(folder)?.pid === process.pid) folder.remove(FILE)
  }
}

/**
 * The server that runs in this folder or in one above it, as one finds a repository, with the folder of its project.
 * Records of other users are passed over: above a shared folder any user could leave one.
 */
export function findServer(from: string): { readonly server: RunningServerRecord; readonly folder: PrivateFolder } | null {
  for (let place = resolve(from); ; place = dirname(place)) {
    const folder = new PrivateFolder(place)
    const server = readRecord(folder)
    if (server !== null && isAlive(server.pid) && folder.isOurs(FILE)) return { server, folder }
    if (dirname(place) === place) return null
  }
}

function readRecord(folder: PrivateFolder): RunningServerRecord | null {
  try {
    const parsed = parseJson(folder.read(FILE) ?? '')
    return (parsed.ok ? recordSchema.safeParse(parsed.value).data : undefined) ?? null
  } catch {
    return null
  }
}

/** Whether the process exists: a server that was killed leaves its record behind. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return reasonOf(error) === 'EPERM'
  }
}
