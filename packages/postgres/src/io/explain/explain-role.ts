import type { WhyStep } from '@tidewire/protocol'
import pg from 'pg'
import type { CatalogRole } from '../../catalog/catalog-table.ts'
import { roleRefusal } from '../../catalog/role-rule.ts'
import { no, yes } from './explain-policies.ts'

export function roleStep(role: CatalogRole): WhyStep {
  const refusal = roleRefusal(role)
  if (refusal === null) return yes('privilege', `The role ${role.name} exists and may be taken.`)
  const name = pg.escapeIdentifier(role.name)
  return no('privilege', `${refusal}.`, role.exists ? `grant ${name} to tidewire_checker;` : `create role ${name} nologin;`)
}
