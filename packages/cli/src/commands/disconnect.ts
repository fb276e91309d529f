import type { DisconnectTarget } from '@tidewire/protocol'
import { defineCommand, type Command } from '../command.ts'
import { exitCodes, misused } from '../failure.ts'
import { print, printJson, printNotice, visible } from '../output.ts'
import { adminArgs, askAdmin } from '../remote/admin-session.ts'

export const disconnect: Command = defineCommand({
  name: 'disconnect',
  description:
    'Close the connections of a user on all nodes, or one connection. A client with a good token comes back: take its token away first.',
  args: {
    sub: { type: 'string', description: "The user's id, as its tokens name it", valueHint: 'id' },
    connection: { type: 'string', description: 'One connection, as NODE/ID; without a node, of the server that is asked', valueHint: 'id' },
    ...adminArgs,
    json: { type: 'boolean', description: 'Print {"disconnected", "silent"}' },
  },
  async run({ sub, connection, json, ...where }) {
    const { disconnected, silent } = await askAdmin(where, 'admin_disconnect', targetOf(sub, connection))
    if (json) printJson({ disconnected, silent })
    else {
      print(`Closed ${disconnected} ${disconnected === 1 ? 'connection' : 'connections'}.`)
      if (silent.length > 0) printNotice(`No answer from ${silent.map((name) => visible(name)).join(', ')}: connections there may be open.`)
    }
    return silent.length === 0 ? exitCodes.ok : exitCodes.failure
  },
})

/** Throws a Failure. */
function targetOf(sub: string | undefined, connection: string | undefined): DisconnectTarget {
  if ((sub === undefined) === (connection === undefined)) throw misused('Give either --sub or --connection.')
  if (sub === '' || connection === '') throw misused(`--${sub === '' ? 'sub' : 'connection'} is empty.`)
  if (sub !== undefined) return { sub }
  const slash = connection!.lastIndexOf('/')
  return slash === -1 ? { connection: connection! } : { connection: connection!.slice(slash + 1), node: connection!.slice(0, slash) }
}
