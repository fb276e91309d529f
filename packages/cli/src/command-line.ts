import { stripVTControlCharacters } from 'node:util'
import { RealtimeError as ClientError } from '@tidewire/client'
import { RealtimeError } from '@tidewire/protocol'
import type { Command } from './command.ts'
import { exitCodes, Failure, reasonOf, type ExitCode } from './failure.ts'
import { print, printNotice } from './output.ts'
import { version } from './version.ts'

interface Entry {
  readonly name: string
  readonly summary: string
  /** Loads the command when it is run: `tidewire token` need not load the server. */
  load(): Promise<Command>
}

const entries: readonly Entry[] = [
  { name: 'dev', summary: 'a server on this machine, with keys', load: async () => (await import('./commands/dev.ts')).dev },
  {
    name: 'start',
    summary: 'a server for production, configured by the environment',
    load: async () => (await import('./commands/start.ts')).start,
  },
  { name: 'send', summary: 'send one broadcast', load: async () => (await import('./commands/send.ts')).send },
  { name: 'listen', summary: 'show the broadcasts of a topic', load: async () => (await import('./commands/listen.ts')).listen },
  {
    name: 'presence',
    summary: 'be present on a topic, and show the other members',
    load: async () => (await import('./commands/presence.ts')).presence,
  },
  { name: 'sql', summary: 'run SQL in the database of the dev server', load: async () => (await import('./commands/sql.ts')).sql },
  {
    name: 'migrate',
    summary: 'make a database ready for Tidewire',
    load: async () => (await import('./commands/migrate.ts')).migrate,
  },
  {
    name: 'doctor',
    summary: 'check a database, and print the SQL that mends it',
    load: async () => (await import('./commands/doctor.ts')).doctor,
  },
  { name: 'nodes', summary: 'show the nodes of a cluster', load: async () => (await import('./commands/nodes.ts')).nodes },
  {
    name: 'disconnect',
    summary: 'close the connections of a user, on all nodes',
    load: async () => (await import('./commands/disconnect.ts')).disconnect,
  },
  { name: 'slot', summary: 'list or drop replication slots of Tidewire', load: async () => (await import('./commands/slot.ts')).slot },
  {
    name: 'bench',
    summary: 'load a running server, and measure its deliveries',
    load: async () => (await import('./commands/bench.ts')).bench,
  },
  {
    name: 'keys',
    summary: 'make the secrets and keys of a production server',
    load: async () => (await import('./commands/keys.ts')).keys,
  },
  { name: 'token', summary: 'make a JSON Web Token', load: async () => (await import('./commands/token.ts')).token },
]

/** Runs the command that the arguments name. Never rejects; a failure is a line on stderr. */
export async function runCommandLine(rawArguments: readonly string[]): Promise<ExitCode> {
  const [name, ...rest] = rawArguments
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') return overview(name === undefined)
  if (name === '--version' || name === '-v') {
    print(version())
    return exitCodes.ok
  }
  const entry = entries.find((each) => each.name === name)
  if (entry === undefined) {
    printNotice(`There is no command ${JSON.stringify(name)}: \`tidewire --help\` lists them.`)
    return exitCodes.usage
  }
  try {
    const command = await entry.load()
    if (!asksForHelp(rest)) return await command.run(rest)
    const usage = await command.usage()
    print(process.stdout.isTTY ? usage : stripVTControlCharacters(usage))
    return exitCodes.ok
  } catch (error) {
    return printFailure(error, name)
  }
}

function asksForHelp(rawArguments: readonly string[]): boolean {
  const end = rawArguments.indexOf('--')
  return rawArguments.slice(0, end < 0 ? undefined : end).some((argument) => argument === '--help' || argument === '-h')
}

function overview(forLackOfCommand: boolean): ExitCode {
  const width = Math.max(...entries.map(({ name }) => name.length))
  const lines = [
    'tidewire: realtime for Postgres and the web',
    '',
    ...entries.map(({ name, summary }) => `  tidewire ${name.padEnd(width)}  ${summary}`),
    '',
    'tidewire <command> --help lists its options. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.',
  ]
  ;(forLackOfCommand ? printNotice : print)(lines.join('\n'))
  return forLackOfCommand ? exitCodes.usage : exitCodes.ok
}

function printFailure(error: unknown, command: string): ExitCode {
  if (error instanceof Failure) {
    printNotice(
      error.exitCode === exitCodes.usage ? `${error.message}\n\`tidewire ${command} --help\` lists what it takes.` : error.message,
    )
    return error.exitCode
  }
  // The published client bundles its own copy of the protocol, so its errors are another class.
  if (error instanceof RealtimeError || error instanceof ClientError) {
    printNotice(error.cause === undefined ? error.message : `${error.message} (${reasonOf(error.cause)})`)
    return exitCodes.failure
  }
  // An unexpected error: a bug report needs its stack.
  printNotice(error instanceof Error ? (error.stack ?? error.message) : String(error))
  return exitCodes.failure
}
