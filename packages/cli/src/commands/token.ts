import { ADMIN_ROLE } from '@tidewire/protocol'
import { defineCommand, type Command } from '../command.ts'
import { exitCodes, misused } from '../failure.ts'
import { signJwt, type JwtClaims } from '../jwt.ts'
import { print, printJson, printNotice } from '../output.ts'
import { readKeys } from '../project/keys.ts'
import { PrivateFolder } from '../project/private-folder.ts'
import { MIN_SECRET_BYTES, parseDuration, parseJsonObject } from '../values.ts'

export const token: Command = defineCommand({
  name: 'token',
  description: 'Make a JSON Web Token that a server takes.',
  args: {
    role: { type: 'string', description: 'The role in Postgres, such as authenticated' },
    admin: { type: 'boolean', description: 'A key of the inspector, instead of one for clients' },
    sub: { type: 'string', description: "The user's id" },
    exp: { type: 'string', description: 'How long it is good: 90s, 15m, 1h (default), 7d, 1y', valueHint: 'duration' },
    claims: { type: 'string', description: 'More claims', valueHint: 'json' },
    secret: {
      type: 'string',
      description:
        'What it is signed with. Default: API_JWT_SECRET of the environment (--admin: TIDEWIRE_ADMIN_SECRET), else the key of this project',
    },
    json: { type: 'boolean', description: 'Print {"token", "expiresAt"}' },
  },
  async run(values) {
    const claims = claimsOf({ ...values, role: roleOf(values) }, Math.floor(Date.now() / 1000))
    const { secret, origin } = await findSecret(values.secret, values.admin)
    const made = await signJwt(claims, secret)
    if (origin === 'project')
      printNotice('Signed with the key of the dev server in .tidewire/; a `tidewire start` with a secret of its own refuses it.')
    if (values.json) printJson({ token: made, expiresAt: claims['exp'] })
    else print(made)
    return exitCodes.ok
  },
})

/** Throws a Failure. */
function roleOf({ role, admin }: { readonly role?: string | undefined; readonly admin: boolean }): string {
  if (admin && role !== undefined) throw misused('--admin has a role of its own: leave --role out.')
  if (!admin && role === undefined) throw misused('--role is missing: give the role in Postgres, such as --role authenticated, or --admin.')
  return role ?? ADMIN_ROLE
}

export interface TokenValues {
  readonly role: string
  readonly sub?: string | undefined
  readonly exp?: string | undefined
  readonly claims?: string | undefined
}

/** Throws a Failure. */
export function claimsOf({ role, sub, exp, claims }: TokenValues, nowS: number): JwtClaims {
  const extra = claims === undefined ? {} : parseJsonObject('--claims', claims)
  const named = { role, ...(sub === undefined ? {} : { sub }), ...(exp === undefined ? {} : { exp: nowS + secondsOf(exp) }) }
  const twice = Object.keys(named).find((claim) => Object.hasOwn(extra, claim))
  if (twice !== undefined) throw misused(`--claims has ${JSON.stringify(twice)}, which --${twice} gives already.`)
  return { iat: nowS, exp: nowS + 3600, ...extra, ...named }
}

function secondsOf(exp: string): number {
  const seconds = parseDuration(exp)
  if (seconds === null) throw misused(`--exp must be a duration such as 90s, 15m, 1h, 7d or 1y, not ${JSON.stringify(exp)}.`)
  return seconds
}

interface FoundSecret {
  readonly secret: string
  readonly origin: 'option' | 'environment' | 'project'
}

async function findSecret(given: string | undefined, admin: boolean): Promise<FoundSecret> {
  const name = admin ? 'TIDEWIRE_ADMIN_SECRET' : 'API_JWT_SECRET'
  const project = async (): Promise<string | undefined> =>
    (await readKeys(new PrivateFolder(process.cwd())))?.[admin ? 'adminSecret' : 'jwtSecret']
  const origin = given !== undefined ? 'option' : process.env[name] !== undefined ? 'environment' : 'project'
  const secret = given ?? process.env[name] ?? (await project())
  if (secret === undefined)
    throw misused(`There is no secret to sign with: give --secret, set ${name}, or run \`tidewire dev\` here once, which makes one.`)
  if (secret === '') throw misused('The secret to sign with is empty.')
  const bytes = Buffer.byteLength(secret)
  if (bytes < MIN_SECRET_BYTES)
    throw misused(
      `The secret to sign with has ${bytes} bytes; a server takes none under ${MIN_SECRET_BYTES}. \`tidewire keys\` makes one that is long enough.`,
    )
  return { secret, origin }
}
