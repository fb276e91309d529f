import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** What a running server says of itself in `postmaster.pid`. */
export interface Postmaster {
  readonly pid: number
  readonly port: number
  readonly status: 'starting' | 'ready' | 'stopping' | 'unknown'
}

/** Reads `postmaster.pid`. `null`: there is none, or it does not (yet) say enough. */
export function readPostmasterFile(dataDir: string): Postmaster | null {
  let text: string
  try {
    text = readFileSync(postmasterFile(dataDir), 'utf8')
  } catch {
    return null
  }
  // Lines: pid, data directory, start time, port, socket directory, listen address, shared memory key, status.
  const lines = text.split('\n')
  const pid = Math.abs(Number.parseInt(lines[0] ?? '', 10))
  if (!Number.isInteger(pid) || pid <= 1) return null
  const port = Number.parseInt(lines[3] ?? '', 10)
  return { pid, port: Number.isInteger(port) ? port : 0, status: statusOf(lines[7]?.trim()) }
}

export function postmasterFile(dataDir: string): string {
  return join(dataDir, 'postmaster.pid')
}

function statusOf(word: string | undefined): Postmaster['status'] {
  return word === 'ready' || word === 'starting' || word === 'stopping' ? word : 'unknown'
}

/** Whether a process of this id runs. A zombie does not count: under a pid 1 that reaps no child it would stay forever. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  return processState(pid) !== 'Z'
}

/** Whether a running process is certainly not a Postgres: its id was given to another program after a crash. */
export function isAnotherProgram(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim() !== 'postgres'
  } catch {
    return false
  }
}

function processState(pid: number): string | undefined {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The program's name stands in parentheses and may hold anything, so the fields are counted from its end.
    return line.slice(line.lastIndexOf(')') + 2, line.lastIndexOf(')') + 3)
  } catch {
    return undefined
  }
}
