import type { Identity } from '@tidewire/server'
import pg from 'pg'
import { settingsOf } from '../../messages/authorization-sql.ts'
import { questionOf } from '../../messages/asked-question.ts'
import { rolledBack } from './rolled-back.ts'
import { isStatementFault } from './statement-fault.ts'

const TIMEOUT_MS = 3_000

/** The role and settings with which a session becomes an identity. */
export interface IdentitySettings {
  readonly role: string
  readonly settings: Readonly<Record<string, string>>
}

/** As the authorizer sets it. */
export function authorizerSettings(identity: Identity, topic: string): IdentitySettings {
  return { role: identity.role, settings: settingsOf(questionOf({ subTopic: topic, identity }, 'read', null)) }
}

/**
 * Statements, in one text, that begin a transaction in the name of a role. It has to be rolled back. The role comes last, since
 * it may not be permitted to set the rest.
 */
export function beginAs({ role, settings }: IdentitySettings, timeoutMs: number, access: 'read only' | 'read write'): string {
  const sets = [...Object.entries(settings), ['role', role] as const].map(
    ([name, value]) => `pg_catalog.set_config(${pg.escapeLiteral(name)}, ${pg.escapeLiteral(value)}, true)`,
  )
  return `begin ${access}; set local statement_timeout = ${Math.ceil(timeoutMs)}; select ${sets.join(', ')}`
}

export function asIdentity<T>(session: pg.ClientBase, identity: IdentitySettings, work: () => Promise<T>): Promise<T> {
  return rolledBack(session, beginAs(identity, TIMEOUT_MS, 'read write'), work)
}

/** The same to try by hand, around a statement. */
export function tryAs({ role, claims }: Identity, topic: string | null, statement: string): string {
  return [
    'begin;',
    `set local role ${pg.escapeIdentifier(role)};`,
    `select set_config('request.jwt.claims', ${pg.escapeLiteral(JSON.stringify(claims))}, true);`,
    ...(topic === null ? [] : [`select set_config('realtime.topic', ${pg.escapeLiteral(topic)}, true);`]),
    `${statement};`,
    'rollback;',
  ].join('\n')
}

/** A statement that fails leaves the transaction as it was before. */
export async function tried<T>(
  session: pg.ClientBase,
  work: () => Promise<T>,
): Promise<{ readonly ok: true; readonly value: T } | { readonly ok: false; readonly message: string }> {
  await session.query('savepoint tried')
  try {
    return { ok: true, value: await work() }
  } catch (error) {
    if (!isStatementFault(error)) throw error
    await session.query('rollback to savepoint tried')
    return { ok: false, message: error.message }
  }
}
