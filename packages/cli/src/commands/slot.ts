import type { Slot, SlotRole } from '@tidewire/postgres'
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
    name: { type: 'positional', description: 'The slot to drop: what it kept is lost for its servers', required: false },
    ...databaseArgs,
    force: { type: 'boolean', description: "Drop a slot that is not Tidewire's, or an anchor that servers still need, too" },
    json: { type: 'boolean', description: 'One JSON object a line' },
  },
  async run({ action, name, db, force, json }) {
    if (action === 'list' && name !== undefined) throw misused(`One argument too many: ${JSON.stringify(name)}.`)
    if (action === 'list') return listAll(findDatabaseUrl(db, process.cwd(), process.env), json)
    if (action !== 'drop') throw misused(`ACTION must be list or drop, not ${JSON.stringify(action)}.`)
    if (name === undefined) throw misused('NAME is missing.')
    if (!force && !/^tidewire_(t?[0-9a-f]{8}|n_[a-z0-9_]+_[0-9a-f]{6})$/.test(name))
      throw misused(`${visible(name)} is not a slot of Tidewire: --force drops it, too.`)
    return drop(findDatabaseUrl(db, process.cwd(), process.env), name, { force, json })
  },
})

async function listAll(url: string, json: boolean): Promise<ExitCode> {
  const { formatLsn, listSlots } = await import('@tidewire/postgres')
  const slots = (await withDatabase(url, (session) => listSlots(session, BASE))).sort((one, other) => ORDER[one.role] - ORDER[other.role])
  if (!json && slots.length === 0) print('No slots of Tidewire here.')
  for (const each of slots) {
    const { confirmedLsn, restartLsn, ...plain } = each
    const lsn = (value: bigint | null): string | null => (value === null ? null : formatLsn(value))
    if (json) printJson({ ...plain, confirmedLsn: lsn(confirmedLsn), restartLsn: lsn(restartLsn) })
    else print(lineOf(each, nodesOf(slots)))
  }
  return exitCodes.ok
}

const ORDER: Readonly<Record<SlotRole, number>> = { anchor: 0, copy: 1, temporary: 2 }

function nodesOf(slots: readonly Slot[]): readonly string[] {
  return slots.flatMap(({ node, activePid }) => (node === null || activePid === null ? [] : [node]))
}

function lineOf({ name, role, node, activePid, lostBecause, retainedBytes }: Slot, nodes: readonly string[]): string {
  const keeps = `keeps ${byteText(retainedBytes)}`
  const reader = activePid === null ? 'not read' : `read by process ${activePid}`
  if (lostBecause !== null) return `${name}  ${role}, lost (${lostBecause})`
  if (role === 'copy') return `${name}  copy of node ${node}, ${reader}, ${keeps}`
  if (role === 'temporary') return `${name}  temporary, ${reader}, ${keeps}`
  // A server of version 0.1 reads the anchor itself.
  const needed = nodes.length > 0 ? `needed by ${nodes.join(', ')}` : activePid === null ? 'needed by no server that runs' : reader
  return `${name}  anchor, ${needed}, ${keeps}`
}

async function drop(url: string, name: string, { force, json }: { readonly force: boolean; readonly json: boolean }): Promise<ExitCode> {
  const { dropSlot, listSlots } = await import('@tidewire/postgres')
  const dropped = await withDatabase(url, async (session) => {
    const slots = await listSlots(session, BASE)
    const nodes = slots.some((each) => each.name === name && each.role === 'anchor') ? nodesOf(slots) : []
    if (nodes.length > 0 && !force)
      throw failed(`${name} is the anchor that ${nodes.join(', ')} need to go on after a cut: stop them first, or give --force.`)
    return dropSlot(session, name)
  })
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
