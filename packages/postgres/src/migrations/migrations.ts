import { roles } from './001-roles.ts'
import { auth } from './002-auth.ts'
import { messages } from './003-messages.ts'
import { functions } from './004-functions.ts'
import { publications } from './005-publications.ts'
import { publishedRelations } from './006-published-relations.ts'

export { keepPartitions } from './003-messages.ts'
export { embeddedConveniences } from './embedded.ts'

/** One step of the schema. Steps are never changed once released; each may run again without harm. */
export interface Migration {
  readonly version: number
  readonly name: string
  readonly sql: string
}

/** What Tidewire needs in a database. Nothing that is there is dropped or replaced, so a Supabase database stays as it is. */
export const migrations: readonly Migration[] = [
  { version: 1, name: 'roles', sql: roles },
  { version: 2, name: 'auth', sql: auth },
  { version: 3, name: 'messages', sql: messages },
  { version: 4, name: 'functions', sql: functions },
  { version: 5, name: 'publications', sql: publications },
  { version: 6, name: 'published-relations', sql: publishedRelations },
]
