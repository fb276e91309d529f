import { defineCommand, type Command } from '../command.ts'
import { migrateDatabase, placeOf } from '../database.ts'
import { exitCodes, misused } from '../failure.ts'
import { print, printJson } from '../output.ts'
import { showProgress } from '../progress-bar.ts'
import { postgresUrl } from '../values.ts'

export const migrate: Command = defineCommand({
  name: 'migrate',
  description: 'Make a Postgres ready: roles, the schema realtime, publications. Nothing that is there is dropped or replaced.',
  args: {
    db: { type: 'string', description: 'The Postgres; DATABASE_URL where it is not given', valueHint: 'url' },
    json: { type: 'boolean', description: 'Print {"applied":[…]}' },
  },
  async run({ db, json }) {
    const url = db ?? process.env['DATABASE_URL']
    if (url === undefined || postgresUrl(url) === undefined)
      throw misused('--db (or DATABASE_URL) must be a URL such as postgres://user:password@host:5432/name.')
    const migrated = await showProgress('Migrating', () => migrateDatabase(url))
    if (json) printJson({ applied: migrated })
    else print(migrated.length === 0 ? `${placeOf(url)} is up to date.` : `${placeOf(url)}: ${migrated.join(', ')}.`)
    return exitCodes.ok
  },
})
