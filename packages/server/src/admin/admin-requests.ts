import { isJsonObject, type AdminWatch, type DisconnectTarget, type JsonObject, type WhyQuestion, type WhyUser } from '@tidewire/protocol'
import { parseDisconnectTarget } from '../cluster/node-admin.ts'

/** A valid request of an inspector. */
export type AdminRequest =
  | { readonly event: 'admin_topic'; readonly topic: string; readonly private: boolean }
  | { readonly event: 'admin_why'; readonly question: WhyQuestion }
  | { readonly event: 'admin_table'; readonly schema: string; readonly table: string }
  | { readonly event: 'admin_nodes' }
  | { readonly event: 'admin_disconnect'; readonly target: DisconnectTarget }
  | { readonly event: 'admin_sql'; readonly sql: string }
  | { readonly event: 'admin_watch'; readonly watch: AdminWatch }

export type ParsedRequest = { readonly ok: true; readonly request: AdminRequest } | { readonly ok: false; readonly reason: string }

const MAX_SQL = 100_000
const MAX_MATCH = 200

export function parseAdminRequest(event: string, payload: unknown): ParsedRequest {
  if (!isJsonObject(payload)) return malformed('the payload must be an object')
  switch (event) {
    case 'admin_topic': {
      const { topic, private: isPrivate } = payload
      if (typeof topic !== 'string' || typeof isPrivate !== 'boolean') return malformed('topic must be a string and private a boolean')
      return { ok: true, request: { event, topic, private: isPrivate } }
    }
    case 'admin_watch': {
      const { payloads, match } = payload
      if (typeof payloads !== 'boolean' || typeof match !== 'string') return malformed('payloads must be a boolean and match a string')
      return { ok: true, request: { event, watch: { payloads, match: match.slice(0, MAX_MATCH) } } }
    }
    case 'admin_table': {
      const { schema, table } = payload
      if (typeof schema !== 'string' || typeof table !== 'string') return malformed('schema and table must be strings')
      return { ok: true, request: { event, schema, table } }
    }
    case 'admin_sql': {
      const { sql } = payload
      if (typeof sql !== 'string' || sql.length > MAX_SQL) return malformed(`sql must be a string of at most ${MAX_SQL} characters`)
      return { ok: true, request: { event, sql } }
    }
    case 'admin_nodes':
      return { ok: true, request: { event } }
    case 'admin_disconnect': {
      const target = parseDisconnectTarget(payload)
      return target === null ? malformed('give a sub, or a connection and perhaps its node') : { ok: true, request: { event, target } }
    }
    case 'admin_why':
      return parseQuestion(payload)
    default:
      return { ok: false, reason: `UnknownRequest: there is no request ${JSON.stringify(event.slice(0, 60))}` }
  }
}

function parseQuestion(payload: JsonObject): ParsedRequest {
  const user = parseUser(payload['user'])
  if (user === null) return malformed('user must have a connection, or a role and claims')
  const { about, topic, private: isPrivate, schema, table, key, filter } = payload
  if (about === 'topic') {
    if (typeof topic !== 'string' || typeof isPrivate !== 'boolean') return malformed('topic must be a string and private a boolean')
    return { ok: true, request: { event: 'admin_why', question: { about, user, topic, private: isPrivate } } }
  }
  if (about !== 'change') return malformed('about must be "topic" or "change"')
  if (typeof schema !== 'string' || typeof table !== 'string') return malformed('schema and table must be strings')
  if (!isJsonObject(key) || !Object.values(key).every((value) => typeof value === 'string'))
    return malformed('key must be an object of strings')
  if (filter !== undefined && typeof filter !== 'string') return malformed('filter must be a string')
  const question = { about, user, schema, table, key: key as Record<string, string>, ...(filter === undefined ? {} : { filter }) } as const
  return { ok: true, request: { event: 'admin_why', question } }
}

function parseUser(user: unknown): WhyUser | null {
  if (!isJsonObject(user)) return null
  const { connection, role, claims } = user
  if (typeof connection === 'string') return { connection }
  return typeof role === 'string' && isJsonObject(claims) ? { role, claims } : null
}

function malformed(detail: string): ParsedRequest {
  return { ok: false, reason: `MalformedRequest: ${detail}` }
}
