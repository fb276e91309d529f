import { defineCommand, type Command } from '../command.ts'
import { exitCodes, misused } from '../failure.ts'
import { print, printJson } from '../output.ts'
import { makeKeys, newSecret } from '../project/keys.ts'

export const keys: Command = defineCommand({
  name: 'keys',
  description: 'Make the secrets of a production server, and the two keys for its clients. Stores nothing.',
  args: {
    secret: {
      type: 'string',
      description: 'Sign the keys with this secret instead of a new one. Default: API_JWT_SECRET of the environment, else a new one',
    },
    json: { type: 'boolean', description: 'Print one JSON object' },
  },
  async run({ secret, json }) {
    const given = secret ?? process.env['API_JWT_SECRET']
    if (given !== undefined && Buffer.byteLength(given) < 32) throw misused('The secret must have at least 32 bytes.')
    const made = await makeKeys(Math.floor(Date.now() / 1000), given)
    const variables = {
      API_JWT_SECRET: made.jwtSecret,
      METRICS_JWT_SECRET: newSecret(),
      TIDEWIRE_ADMIN_SECRET: made.adminSecret,
      ANON_KEY: made.anonKey,
      SERVICE_ROLE_KEY: made.serviceKey,
    }
    if (json) printJson(variables)
    else print(text(variables))
    return exitCodes.ok
  },
})

function text(variables: Readonly<Record<string, string>>): string {
  const line = (name: string): string => `${name}=${variables[name]}`
  return [
    '# For the environment of `tidewire start`. Keep these secret.',
    ...['API_JWT_SECRET', 'METRICS_JWT_SECRET', 'TIDEWIRE_ADMIN_SECRET'].map(line),
    '',
    '# For web pages and apps: the role anon, good for ten years.',
    line('ANON_KEY'),
    '',
    '# For your own backends only: the role service_role passes every policy.',
    line('SERVICE_ROLE_KEY'),
  ].join('\n')
}
