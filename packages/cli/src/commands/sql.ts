import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { defineCommand, type Command } from '../command.ts'
import { placeOf } from '../database.ts'
import { exitCodes, failed, misused, reasonOf } from '../failure.ts'
import { print, printJson, printNotice, visible } from '../output.ts'
import { showProgress } from '../progress-bar.ts'
import { findServer } from '../project/running-server.ts'
import { postgresUrl } from '../values.ts'

const CONNECT_TIMEOUT_MS = 5_000

export const sql: Command = defineCommand({
  name: 'sql',
  description: 'Run SQL in the database of the dev server of this project.',
  args: {
    sql: { type: 'positional', description: 'One or more statements, or - to read them from stdin' },
    file: { type: 'string', description: 'Read the statements from a file', valueHint: 'path' },
    db: { type: 'string', description: 'Another Postgres', valueHint: 'url' },
    json: { type: 'boolean', description: 'Print each row as a JSON object' },
  },
  async run({ sql: given, file, db, json }) {
    const statements = await statementsOf(given, file)
    const { databasePool } = await import('@tidewire/postgres')
    const url = databaseOf(db)
    const pool = databasePool({ url, maxConnections: 1, connectTimeoutMs: CONNECT_TIMEOUT_MS, applicationName: 'tidewire sql' })
    try {
      const results = await showProgress('Running', (progress) =>
        pool.withSession(async (session) => {
          session.on('notice', ({ message }) => {
            progress.clear()
            printNotice(visible(message ?? ''))
          })
          return [await session.query<Record<string, unknown>>(statements)].flat()
        }),
      )
      for (const { command, fields, rows, rowCount } of results) {
        if (json) for (const row of rows) printJson(row)
        else if (fields.length > 0)
          for (const line of table(
            fields.map(({ name }) => name),
            rows,
          ))
            print(line)
        else print(`${command} ${rowCount ?? ''}`.trimEnd())
      }
    } catch (error) {
      const message = error instanceof Error && error.message !== '' ? error.message : reasonOf(error)
      // Errors of Postgres itself have a severity.
      const isAnswer = error instanceof Error && 'severity' in error
      throw failed(
        isAnswer
          ? `${placeOf(url)} refused: ${message}`
          : `Cannot use the database ${placeOf(url)}: ${message}. Check its URL, and that it runs.`,
        error,
      )
    } finally {
      await pool.close()
    }
    return exitCodes.ok
  },
})

async function statementsOf(given: string | undefined, file: string | undefined): Promise<string> {
  if ((given === undefined) === (file === undefined)) throw misused('Give either statements, or - for stdin, or --file.')
  if (file === undefined) return given === '-' ? text(process.stdin) : given!
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw failed(`Cannot read ${visible(file)}: ${reasonOf(error)}.`, error)
  }
}

function databaseOf(given: string | undefined): string {
  if (given !== undefined) {
    if (postgresUrl(given) === undefined) throw misused('--db must be a URL such as postgres://user:password@host:5432/name.')
    return given
  }
  const url = findServer(process.cwd())?.server.databaseUrl
  if (url === undefined) throw failed('No dev server with a database runs in this project: start one with `tidewire dev`, or give --db.')
  return url
}

/** Rows under their columns, aligned. */
function table(columns: readonly string[], rows: readonly Record<string, unknown>[]): string[] {
  const cells = [columns, ...rows.map((row) => columns.map((column) => shown(row[column])))]
  const widths = columns.map((_, i) => Math.max(...cells.map((line) => visible(line[i]!).length)))
  const lines = cells.map((line) =>
    line
      .map((cell, i) => visible(cell).padEnd(widths[i]!))
      .join('  ')
      .trimEnd(),
  )
  return [lines[0]!, widths.map((width) => '-'.repeat(width)).join('  '), ...lines.slice(1)]
}

function shown(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (value instanceof Date) return value.toISOString()
  return typeof value === 'string' ? value : JSON.stringify(value)
}
