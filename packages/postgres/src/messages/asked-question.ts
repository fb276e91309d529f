import type { AuthorizationRequest, Claims } from '@tidewire/server'
import { claimsText } from '../catalog/identity.ts'
import { wellFormed, type Command, type PolicyQuestion } from './authorization-sql.ts'
import type { JoinPolicies } from './join-policies.ts'

export type Asked = PolicyQuestion & {
  /** Questions with equal keys get one answer. */
  readonly key: string
  /** The policies that cannot distinguish the identities with this key; `null`: those have the same claims and headers. */
  readonly policies: JoinPolicies | null
}

/** Claims and headers stay the same objects for as long as a token, or a socket, lasts. */
const texts = new WeakMap<object, string>()

function jsonOf(value: object): string {
  let text = texts.get(value)
  if (text === undefined) texts.set(value, (text = JSON.stringify(value)))
  return text
}

/** As `texts`, of the claims that the policies read. */
const readTexts = new WeakMap<object, { readonly policies: JoinPolicies; readonly text: string }>()

function readTextOf(claims: Claims, policies: JoinPolicies): string {
  const known = readTexts.get(claims)
  if (known?.policies === policies) return known.text
  const text = claimsText(claims, jsonOf(claims), policies.claims)
  readTexts.set(claims, { policies, text })
  return text
}

/** `policies`: what is known of the policies that decide, where they do not read headers. Their version is a part of the key. */
export function questionOf(
  { subTopic, identity }: Pick<AuthorizationRequest, 'subTopic' | 'identity'>,
  command: Command,
  policies: JoinPolicies | null,
): Asked {
  const topic = wellFormed(subTopic)
  const role = wellFormed(identity.role)
  const claims = jsonOf(identity.claims)
  const headers = jsonOf(identity.headers)
  const { sub } = identity.claims
  const read = policies === null ? `${headers}\0${claims}` : `${policies.version}\0${readTextOf(identity.claims, policies)}`
  return {
    key: `${command}\0${role}\0${topic}\0${read}`,
    policies,
    topic,
    role,
    claims,
    sub: typeof sub === 'string' ? wellFormed(sub) : '',
    headers,
    command,
  }
}
