import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import { failed } from '../failure.ts'
import { isJwtFor, signJwt } from '../jwt.ts'
import { parseJson } from '../values.ts'
import type { PrivateFolder } from './private-folder.ts'

/** The secrets of the project's `dev` server, and two tokens that it accepts. */
export interface ProjectKeys {
  readonly jwtSecret: string
  /** Role `anon`: may be in a web page. */
  readonly anonKey: string
  /** Role `service_role`: may do everything. */
  readonly serviceKey: string
  /** The secret that keys of the inspector are signed with. */
  readonly adminSecret: string
}

const FILE = 'keys.json'
const TEN_YEARS_S = 315_360_000

const keysSchema = z.object({
  jwtSecret: z.string().min(16),
  anonKey: z.string(),
  serviceKey: z.string(),
  adminSecret: z.string().min(16).optional(),
})

/** The keys of the project, made at the first call. Throws a Failure. */
export async function openKeys(folder: PrivateFolder): Promise<ProjectKeys> {
  const known = await readKeys(folder)
  if (known !== null) return known
  const made = await makeKeys(Math.floor(Date.now() / 1000))
  folder.create(FILE, `${JSON.stringify(made, null, 2)}\n`)
  // Another process may have been first.
  return (await readKeys(folder)) ?? made
}

/** `null` when no keys were made yet. Throws a Failure when there are some that cannot be used. */
export async function readKeys(folder: PrivateFolder): Promise<ProjectKeys | null> {
  const text = folder.read(FILE)
  if (text === null) return null
  const parsed = parseJson(text)
  const keys = parsed.ok ? keysSchema.safeParse(parsed.value).data : undefined
  if (keys === undefined) throw failed(`${join(folder.path, FILE)} is damaged: remove it, and new keys are made at the next start.`)
  const good = (await isJwtFor('anon', keys.anonKey, keys.jwtSecret)) && (await isJwtFor('service_role', keys.serviceKey, keys.jwtSecret))
  if (!good)
    throw failed(
      `The keys in ${join(folder.path, FILE)} are expired or not of one secret: remove it, and new ones are made at the next start.`,
    )
  return { ...keys, adminSecret: keys.adminSecret ?? addAdminSecret(folder, keys) }
}

/** Completes a file of a version without the inspector. */
function addAdminSecret(folder: PrivateFolder, keys: Omit<ProjectKeys, 'adminSecret'>): string {
  const adminSecret = newSecret()
  folder.write(FILE, `${JSON.stringify({ ...keys, adminSecret }, null, 2)}\n`)
  return adminSecret
}

export function newSecret(): string {
  const secret = randomBytes(32).toString('base64url')
  // After `--secret`, a value that begins with a hyphen would be read as an option.
  return secret.startsWith('-') ? newSecret() : secret
}

/** Keys good for ten years from `nowS`, in seconds since 1970. */
export async function makeKeys(nowS: number, jwtSecret: string = newSecret()): Promise<ProjectKeys> {
  const claims = { iss: 'tidewire', iat: nowS, exp: nowS + TEN_YEARS_S }
  return {
    jwtSecret,
    anonKey: await signJwt({ role: 'anon', ...claims }, jwtSecret),
    serviceKey: await signJwt({ role: 'service_role', ...claims }, jwtSecret),
    adminSecret: newSecret(),
  }
}
