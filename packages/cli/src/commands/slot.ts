import type { Slot } from '@tidewire/postgres'
import { defineCommand, type Command } from '../command.ts'
import { databaseArgs, findDatabaseUrl, withDatabase } from '../database-session.ts'
import { exitCodes, failed, misused, type ExitCode } from '../failure.ts'
import { print, printJson, visible } from '../output.ts'
import { byteText } from '../values.ts'

const BASE = 'tidewire'

export const slot: Command = defineCommand({
  name: 'slot',
  description: 'List the replication slots that Tidewire keeps in a database, or drop one.',
  args: {
    action: { type: 'positional', description: 'list or drop', required: true },
    name: { type: 'positional', description: 'The slot to drop: what it kept is lost for its server', required: false },
    ...databaseArgs,
    force: { type: 'boolean', description: "Drop a slot that is not Tidewire's, too" },
    json: { type: 'boolean', description: 'One JSON object a line' },
  },
  async run({ action, name, db, force, json }) {
    if (action === 'list' && name !== undefined) throw misused(`One argument too many: ${JSON.stringify(name)}.`)
    if (action === 'list') return listAll(findDatabaseUrl(db, process.cwd(), process.env), json)
    if (action !== 'drop') throw misused(`ACTION must be list or drop, not ${JSON.stringify(action)}.`)
    if (name === undefined) throw misused('NAME is missing.')
    if (!force && !/^tidewire_t?[0-9a-f]{8}$/.test(name))
      throw misused(`${visible(name)} is not a slot of Tidewire: --force drops it, too.`)
    return drop(findDatabaseUrl(db, process.cwd(), process.env), name, json)
  },
})

async function listAll(url: string, json: boolean): Promise<ExitCode> {
  const { formatLsn, listSlots } = await import('@tidewire/postgres')
  const slots = await withDatabase(url, (session) => listSlots(session, BASE))
  if (!json && slots.length === 0) print('No slots of Tidewire here.')
  for (const each of slots) {
    const { confirmedLsn, restartLsn, ...plain } = each
    const lsn = (value: bigint | null): string | null => (value === null ? null : formatLsn(value))
    if (json) printJson({ ...plain, confirmedLsn: lsn(confirmedLsn), restartLsn: lsn(restartLsn) })
    else print(lineOf(each))
  }
  return exitCodes.ok
}

function lineOf({ name, temporary, activePid, lostBecause, retainedBytes }: Slot): string {
  const state = lostBecause !== null ? `lost (${lostBecause})` : activePid !== null ? `read by process ${activePid}` : 'not read'
  return `${name}  ${state}, keeps ${byteText(retainedBytes)}${temporary ? ', temporary' : ''}`
}

async function drop(url: string, name: string, json: boolean): Promise<ExitCode> {
  const { dropSlot } = await import('@tidewire/postgres')
  const dropped = await withDatabase(url, (session) => dropSlot(session, name))
  if (!dropped.ok)
    throw failed(
      dropped.code === 'active'
        ? `${visible(name)} is being read: stop the server that reads it first (${visible(dropped.detail)}).`
        : `There is no slot ${visible(name)} in this database.`,
    )
  if (json) printJson({ dropped: name })
  else print(`Dropped ${name}.`)
  return exitCodes.ok
}
