import type { ChangesFault } from '@tidewire/protocol'
import type { CatalogRole, CatalogTable, TableName } from '../../catalog/catalog-table.ts'
import type { UnpublishedTable } from '../../catalog/catalog-port.ts'
import { roleRefusal } from '../../catalog/role-rule.ts'
import type { ChangeEntry, Notice } from './change-entry.ts'
import type { Subscription } from '../audience.ts'

/** No published table fits the entry. A table that the role may not read looks like one that does not exist. */
export function notPublished({ schema, table }: ChangeEntry, { publication, table: found }: UnpublishedTable): ChangesFault {
  const publish = (name: string): string => `alter publication ${sqlIdentifier(publication)} add table ${name};`
  if (found !== null && !found.hasPrimaryKey)
    return {
      code: 'no-primary-key',
      hint: `The table ${found.name} has no primary key and is not published: ${addPrimaryKey(found.name, found.hasId)} ${publish(found.name)}`,
    }
  if (found !== null) return { code: 'not-published', hint: `The table ${found.name} is not published: ${publish(found.name)}` }
  if (schema === '*' || table === '*' || `${schema}${table}`.includes('%'))
    return {
      code: 'not-published',
      hint: `The publication ${publication} has no table that fits ${schema}.${table}: ${publish('…')}`,
    }
  return {
    code: 'missing-table',
    hint: `There is no table ${sqlName({ schema, name: table })} that this role may read: check the name, create it, or grant SELECT on it.`,
  }
}

/** Why a subscriber that asks for deletes of rows that it could see gets none of this table (rule D14); `null`: it gets them. */
export function deletesWithheld(table: CatalogTable, role: string): Notice | null {
  const access = table.roles.get(role)
  if (!table.rowSecurity || access === undefined || access.bypassesRowSecurity) return null
  const withheld = `Deletes of ${table.schema}.${table.name} are withheld: to find out who could see a deleted row, `
  const because = (why: string, hint: string): Notice => ({ message: withheld + why, fault: { code: 'deletes-withheld', hint } })
  if (!table.replicaIdentityFull) return because('it needs REPLICA IDENTITY FULL', `alter table ${sqlName(table)} replica identity full;`)
  return access.scope === 'opaque'
    ? because(
        'its policies must neither read the table itself nor call functions that may read tables',
        `Write the SELECT policies of ${sqlName(table)} over columns of the row and claims of the token.`,
      )
    : null
}

/** SQL would refuse the table altogether (rule D15). */
export function schemaWithheld({ schema, name }: TableName, role: string): Notice {
  return {
    message: `Changes of ${schema}.${name} are withheld: your role may not use the schema`,
    fault: { code: 'not-allowed', hint: `grant usage on schema ${sqlIdentifier(schema)} to ${sqlIdentifier(role)};` },
  }
}

/** The server's login was refused the role after the channel subscribed. */
export function roleWithheld({ schema, name }: TableName, role: CatalogRole): Notice {
  return {
    message: `Changes of ${schema}.${name} are withheld: tokens may no longer take your role`,
    fault: { code: 'not-allowed', hint: `${roleRefusal(role) ?? 'Grant the role again'}.` },
  }
}

/** Changes of an accepted subscription that do not come. */
export function withheldFor({ entry, channel }: Subscription, table: CatalogTable, { name }: CatalogRole): Notice[] {
  const deletes = channel.authorizesDeletes && (entry.event === '*' || entry.event === 'DELETE') ? deletesWithheld(table, name) : null
  return [...(deletes === null ? [] : [deletes]), ...(table.roles.get(name)?.usesSchema === false ? [schemaWithheld(table, name)] : [])]
}

/** Advice on a subscription that works, but not as its user may expect. */
export function adviceFor({ entry, filters, channel }: Subscription, table: CatalogTable, role: CatalogRole): Notice[] {
  const name = sqlName(table)
  const advice: Notice[] = []
  const wants = (event: ChangeEntry['event']): boolean => entry.event === '*' || entry.event === event
  if (table.primaryKey.length === 0 && entry.event !== 'DELETE')
    advice.push({
      message: `Changes of ${table.schema}.${table.name} come as errors: the table has no primary key`,
      fault: {
        code: 'no-primary-key',
        hint: addPrimaryKey(
          name,
          table.columns.some((column) => column.name === 'id'),
        ),
      },
    })
  const reads = (column: { readonly rolesWithSelect: ReadonlySet<string> }): boolean => column.rolesWithSelect.has(role.name)
  // Without the schema nothing comes at all, which is reported as such.
  const usesSchema = table.roles.get(role.name)?.usesSchema !== false
  if (usesSchema && !(table.columns.some(reads) && table.primaryKey.every(reads)))
    advice.push({
      message: `Changes of ${table.schema}.${table.name} come as errors: the role ${role.name} may not select from it`,
      fault: { code: 'not-allowed', hint: `grant select on ${name} to ${sqlIdentifier(role.name)};` },
    })
  const isChecked = table.rowSecurity && !role.bypassesRowSecurity
  const seesWholeRow = table.replicaIdentityFull && (!isChecked || channel.authorizesDeletes)
  const blind = (filters ?? []).find(({ column }) => !table.primaryKey.some((key) => key.name === column.name))
  if (wants('DELETE') && !seesWholeRow && blind !== undefined)
    advice.push({
      message: `Deletes of ${table.schema}.${table.name} do not match your filter: of a deleted row it sees the key alone, without ${blind.column.name}`,
      fault: {
        code: 'deletes-not-filterable',
        hint: isChecked
          ? `Listen to DELETE without the filter, or ask for deletes: 'authorized' with: alter table ${name} replica identity full;`
          : `Listen to DELETE without the filter, or: alter table ${name} replica identity full;`,
      },
    })
  return advice
}

function addPrimaryKey(table: string, hasId: boolean): string {
  return hasId
    ? `alter table ${table} add primary key (id);`
    : `alter table ${table} add column id bigint generated always as identity primary key;`
}

function sqlName({ schema, name }: TableName): string {
  return `${sqlIdentifier(schema)}.${sqlIdentifier(name)}`
}

function sqlIdentifier(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replace(/"/g, '""')}"`
}
