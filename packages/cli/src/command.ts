import { parseArgs } from 'node:util'
import { renderUsage, type ArgsDef } from 'citty'
import { misused, type ExitCode } from './failure.ts'

/** A command of `tidewire`. */
export interface Command {
  /** Reads the arguments and runs. Throws a Failure. */
  run(rawArguments: readonly string[]): Promise<ExitCode>
  usage(): Promise<string>
}

type Value<Definition> = Definition extends { readonly type: 'boolean' }
  ? boolean
  : Definition extends { readonly default: string } | { readonly required: true }
    ? string
    : string | undefined

export type Values<Definitions> = { readonly [Name in keyof Definitions]: Value<Definitions[Name]> }

export interface CommandDefinition<Definitions extends ArgsDef> {
  readonly name: string
  readonly description: string
  readonly args: Definitions
  /** Options that may be given several times, and whose order matters. They are not in `values`. */
  readonly repeated?: readonly (keyof Definitions & string)[]
  /** Text at the end of its usage. */
  epilogue?(): string
  /** `repeated` are the options of that list, in the order in which they were given. */
  run(values: Values<Definitions>, repeated: readonly GivenOption[]): Promise<ExitCode>
}

export interface GivenOption {
  readonly name: string
  readonly value: string
}

export function defineCommand<const Definitions extends ArgsDef>(definition: CommandDefinition<Definitions>): Command {
  const { name, description, args } = definition
  return {
    run: (rawArguments) => {
      const repeated: GivenOption[] = []
      return definition.run(readArguments(rawArguments, args, definition.repeated, repeated), repeated)
    },
    usage: async () => {
      const usage = await renderUsage({ meta: { name, description }, args }, { meta: { name: 'tidewire' } })
      return definition.epilogue === undefined ? usage : `${usage}\n${definition.epilogue()}`
    },
  }
}

/**
 * Reads arguments by citty's definitions, but strictly, which citty's own reader is not: an option that does not exist,
 * a missing value or one argument too many is an error. Options that may be given several
 * times go to `given`. Throws a Failure.
 */
export function readArguments<const Definitions extends ArgsDef>(
  rawArguments: readonly string[],
  definitions: Definitions,
  repeated: readonly string[] = [],
  given: GivenOption[] = [],
): Values<Definitions> {
  const entries = Object.entries(definitions)
  const options = entries.filter(([, { type }]) => type !== 'positional')
  const places = entries.filter(([, { type }]) => type === 'positional')
  const { values, positionals, tokens } = parse(rawArguments, options)
  for (const token of tokens)
    if (token.name !== undefined && repeated.includes(token.name)) given.push({ name: token.name, value: token.value ?? '' })
  for (const name of repeated) delete values[name]
  for (const [i, [name]] of places.entries()) if (positionals[i] !== undefined) values[name] = positionals[i]
  for (const [name, { type, required, default: fallback }] of entries) {
    values[name] ??= fallback ?? (type === 'boolean' ? false : undefined)
    if (required === true && values[name] === undefined)
      throw misused(`${type === 'positional' ? name.toUpperCase() : `--${name}`} is missing.`)
  }
  const surplus = positionals[places.length]
  if (surplus !== undefined) throw misused(`One argument too many: ${JSON.stringify(surplus)}.`)
  return values as Values<Definitions>
}

function parse(
  rawArguments: readonly string[],
  options: readonly (readonly [string, ArgsDef[string]])[],
): {
  readonly values: { [name: string]: unknown }
  readonly positionals: readonly string[]
  readonly tokens: readonly { readonly kind: string; readonly name?: string; readonly value?: string | undefined }[]
} {
  try {
    return parseArgs({
      args: [...rawArguments],
      options: Object.fromEntries(options.map(([name, { type }]) => [name, { type: type === 'boolean' ? 'boolean' : 'string' }] as const)),
      allowPositionals: true,
      tokens: true,
    })
  } catch (error) {
    // Node's message is long; its first sentence names the option and the fault.
    throw misused(`${(error as Error).message.split(/\. |\n/)[0]!.replace(/\.$/, '')}.`)
  }
}
