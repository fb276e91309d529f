import type { AdminNode } from '@tidewire/protocol'
import { defineCommand, type Command } from '../command.ts'
import { exitCodes } from '../failure.ts'
import { print, printJson, visible } from '../output.ts'
import { adminArgs, askAdmin } from '../remote/admin-session.ts'
import { byteText } from '../values.ts'

export const nodes: Command = defineCommand({
  name: 'nodes',
  description:
    'Show the nodes that are one system with a server: name, since when, version, connections, topics, and how far row changes are behind.',
  args: { ...adminArgs, json: { type: 'boolean', description: 'One JSON object a line' } },
  async run({ json, ...where }) {
    const { nodes: found } = await askAdmin(where, 'admin_nodes', {})
    if (json) for (const node of found) printJson({ ...node })
    else for (const line of table(found)) print(line)
    return found.every(({ answers }) => answers) ? exitCodes.ok : exitCodes.failure
  },
})

const HEAD = ['NAME', 'INSTANCE', 'SINCE', 'VERSION', 'CONNECTIONS', 'TOPICS', 'LAG']

function table(found: readonly AdminNode[]): string[] {
  const rows = [HEAD, ...found.map(cells)]
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  )
  return [...lines, ...found.flatMap(({ name, trouble }) => (trouble === null ? [] : [`${visible(name)}: ${visible(trouble, 1_000)}`]))]
}

function cells({ name, instance, startedAt, version, isAsked, answers, connections, topics, lagBytes, lagMs }: AdminNode): string[] {
  const figures = answers ? [String(connections), String(topics), lagText(lagBytes, lagMs)] : ['no answer', '-', '-']
  return [
    `${visible(name === '' ? '-' : name)}${isAsked ? ' *' : ''}`,
    instance === '' ? '-' : instance,
    new Date(startedAt).toISOString(),
    visible(version),
    ...figures,
  ]
}

function lagText(bytes: number | null, ms: number | null): string {
  return bytes === null || ms === null ? '-' : `${byteText(bytes)}, ${Math.round(ms)} ms`
}
