import pg from 'pg'
import { codeOf } from '../../catalog/database-fault.ts'
import type { Queryable } from '../../catalog/queryable.ts'

/** A publication the feed reads from. One that is missing is made as described; one that exists is left as it is. */
export interface PublicationSpec {
  readonly name: string
  /** The tables it is made with. Default: none yet. */
  readonly tables?: readonly { readonly schema: string; readonly name: string }[]
  /** Which actions it is made for. Default: all. */
  readonly actions?: readonly ('insert' | 'update' | 'delete' | 'truncate')[]
  /** Publish changes of partitions as changes of the table they belong to. Default false. */
  readonly viaRoot?: boolean
}

export async function ensurePublications(session: Queryable, specs: readonly PublicationSpec[]): Promise<string[]> {
  const existing = new Set((await publicationOids(session, specs)).keys())
  const missing = specs.filter((spec) => !existing.has(spec.name))
  if (missing.length === 0) return []
  const version = await serverVersion(session)
  for (const spec of missing) await createPublication(session, spec, version)
  return missing.map((spec) => spec.name)
}

export async function serverVersion(session: Queryable): Promise<number> {
  const { rows } = await session.query(`select current_setting('server_version_num')::int as number`)
  return (rows as { number: number }[])[0]!.number
}

/** The oids of those of the publications that exist: a publication that was dropped and created again has another one. */
export async function publicationOids(session: Queryable, specs: readonly Pick<PublicationSpec, 'name'>[]): Promise<Map<string, number>> {
  const { rows } = await session.query('select pubname as name, oid from pg_catalog.pg_publication where pubname = any($1)', [
    specs.map((spec) => spec.name),
  ])
  return new Map((rows as { name: string; oid: number }[]).map(({ name, oid }) => [name, oid]))
}

/** The same as a text, to compare. */
export async function publicationVersion(session: Queryable, specs: readonly PublicationSpec[]): Promise<string> {
  const oids = [...(await publicationOids(session, specs))]
  return oids
    .map(([name, oid]) => `${name}=${oid}`)
    .sort()
    .join()
}

async function createPublication(session: Queryable, spec: PublicationSpec, version: number): Promise<void> {
  const options = [
    ...(spec.actions === undefined ? [] : [`publish = ${pg.escapeLiteral(spec.actions.join(', '))}`]),
    ...(spec.viaRoot === undefined ? [] : [`publish_via_partition_root = ${spec.viaRoot}`]),
    ...(version >= 180_000 ? [`publish_generated_columns = 'stored'`] : []),
  ]
  const tables = (spec.tables ?? []).map(({ schema, name }) => `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`)
  const sql = [
    `create publication ${pg.escapeIdentifier(spec.name)}`,
    ...(tables.length === 0 ? [] : [`for table ${tables.join(', ')}`]),
    ...(options.length === 0 ? [] : [`with (${options.join(', ')})`]),
  ].join(' ')
  try {
    await session.query(sql)
  } catch (error) {
    // Another process was first: with its transaction committed the name is taken, at the same moment it is a duplicate key.
    if (!['42710', '23505'].includes(codeOf(error))) throw error
  }
}
