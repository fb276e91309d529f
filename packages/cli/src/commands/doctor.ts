import { defineCommand, type Command } from '../command.ts'
import { placeOf } from '../database.ts'
import { databaseArgs, findDatabaseUrl } from '../database-session.ts'
import { checkNats } from '../doctor/check-nats.ts'
import { checkDatabase, type CheckResult } from '../doctor/checks.ts'
import { readFacts } from '../doctor/read-facts.ts'
import { exitCodes } from '../failure.ts'
import { print, printJson, visible } from '../output.ts'

export const doctor: Command = defineCommand({
  name: 'doctor',
  description: 'Check what a Postgres lacks, or what is risky there, and print the SQL that mends it. Changes nothing.',
  args: {
    ...databaseArgs,
    json: { type: 'boolean', description: 'One JSON object a line: {"check","level","detail","sql"}' },
  },
  async run({ db, json }) {
    const url = findDatabaseUrl(db, process.cwd(), process.env)
    const isUnboundedWalAllowed = /^(1|true)$/.test(process.env['TIDEWIRE_ALLOW_UNBOUNDED_WAL']?.trim() ?? '')
    const results = [...checkDatabase(await readFacts(url, isUnboundedWalAllowed)), ...(await checkNats(process.env))]
    for (const result of results) {
      if (json) printJson({ ...result, sql: result.sql ?? [] })
      else show(result)
    }
    const [fails, warnings] = (['fail', 'warn'] as const).map((level) => results.filter((result) => result.level === level).length)
    if (!json) print(`\n${placeOf(url)}: ${fails === 0 ? 'usable' : `not usable yet, ${fails} to mend`}, ${warnings} to look at.`)
    return fails === 0 ? exitCodes.ok : exitCodes.failure
  },
})

function show({ level, check, detail, sql = [] }: CheckResult): void {
  print(`${level.padEnd(4)}  ${check.padEnd(19)}  ${visible(detail, 1_000)}`)
  for (const statement of sql) print(`      ${visible(statement, 1_000)}`)
}
