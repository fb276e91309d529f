import type { TableEntry } from '../catalog/table-entry.ts'

/**
 * Why a subscriber that asks for deletes of rows that it could see gets none of this table (rule D14); `null`: it gets them.
 */
export function deletesWithheldText({ schema, name, rowSecurity, replicaIdentityFull, roles }: TableEntry, role: string): string | null {
  const access = roles.get(role)
  if (!rowSecurity || access === undefined || access.bypassesRowSecurity) return null
  const withheld = `Deletes of ${schema}.${name} are withheld: to find out who could see a deleted row, `
  if (!replicaIdentityFull) return `${withheld}it needs REPLICA IDENTITY FULL`
  return access.scope === 'opaque'
    ? `${withheld}its policies must neither read the table itself nor call functions that may read tables`
    : null
}

/** SQL would refuse the table altogether (rule D15). */
export function schemaWithheldText({ schema, name }: TableEntry): string {
  return `Changes of ${schema}.${name} are withheld: your role may not use the schema`
}
