import type { Identity } from '@tidewire/server'
import pg from 'pg'

/** How long a question about somebody may take, in all its statements one by one. */
const TIMEOUT_MS = 3_000

/** Runs `work` as somebody with these claims, in a transaction that writes nothing and is rolled back. */
export async function asIdentity<T>(session: pg.ClientBase, identity: Identity, topic: string | null, work: () => Promise<T>): Promise<T> {
  const { role, claims, headers } = identity
  await session.query(`begin read only; set local statement_timeout = ${TIMEOUT_MS}`)
  try {
    const { sub } = claims
    await session.query(
      `select pg_catalog.set_config('request.jwt.claims', $1, true), pg_catalog.set_config('request.jwt.claim.sub', $2, true),
         pg_catalog.set_config('request.jwt.claim.role', $3, true), pg_catalog.set_config('request.headers', $4, true),
         pg_catalog.set_config('realtime.topic', $5, true)`,
      [JSON.stringify(claims), typeof sub === 'string' ? sub : '', role, JSON.stringify(headers), topic ?? ''],
    )
    await session.query("select pg_catalog.set_config('role', $1, true)", [role])
    return await work()
  } finally {
    await session.query('rollback')
  }
}

/** The same for somebody to try by hand, around a statement. */
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
    if (!(error instanceof pg.DatabaseError)) throw error
    await session.query('rollback to savepoint tried')
    return { ok: false, message: error.message }
  }
}
