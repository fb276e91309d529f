import { answersAllClaims, claimsReadBy, functionScope, type CatalogFunction } from '../../catalog/function-analysis.ts'
import type { PolicyTree } from '../../catalog/owner-column.ts'
import { expressionUse, FIRST_USER_OID, type ClaimsUse, type ExpressionUse, type PolicyScope } from '../../catalog/policy-analysis.ts'
import type { PolicyReach } from '../../catalog/catalog-table.ts'
import type { Queryable } from '../../catalog/queryable.ts'
import { tableRows, type TableRow } from './table-rows.ts'

/** Policies may read other tables, which have policies of their own, and so on; further than this is not followed. */
const MAX_DEPTH = 8
const UUID_TYPE = 2950

/** The functions that an expression uses, those of its operators included. */
export type FunctionsOf = (use: ExpressionUse) => Promise<readonly CatalogFunction[]>

/** Reads them once, as this transaction sees them: policies of many tables are often alike. */
export function functionsIn(session: Queryable): FunctionsOf {
  const known = new Map<string, readonly CatalogFunction[]>()
  return async ({ functions, operators }) => {
    const asked = [[...functions], [...operators]]
    const key = JSON.stringify(asked)
    const found = known.get(key) ?? ((await session.query(FUNCTIONS_SQL, asked)).rows as CatalogFunction[])
    known.set(key, found)
    return found
  }
}

/** Follows the policies of a table to all that they read. */
export class PolicyReader {
  readonly #session: Queryable
  readonly #functionsOf: FunctionsOf
  readonly #tables = new Map<number, readonly PolicyTree[]>()
  readonly #uses = new Map<string, ExpressionUse | null>()
  readonly #functions = new Map<number, CatalogFunction>()
  /** The table itself, the tables that it inherits from and those that inherit from it. */
  readonly #own = new Set<number>()
  readonly #claims = new Set<string>()
  #all = false
  #tooDeep = false

  constructor(session: Queryable, functionsOf: FunctionsOf = functionsIn(session)) {
    this.#session = session
    this.#functionsOf = functionsOf
  }

  get claims(): ClaimsUse {
    return this.#all ? 'all' : this.#claims
  }

  get reach(): PolicyReach {
    return {
      tables: [...this.#tables.keys()].toSorted((a, b) => a - b),
      functions: [...this.#functions.keys()].toSorted((a, b) => a - b),
    }
  }

  isUid(oid: number): boolean {
    const facts = this.#functions.get(oid)
    if (facts === undefined || facts.resultType !== UUID_TYPE || facts.oid < FIRST_USER_OID) return false
    const claims = claimsReadBy(facts)
    return claims !== null && claims.size === 1 && claims.has('sub')
  }

  async read(table: TableRow): Promise<void> {
    await this.#visit(table, 0)
    this.#own.add(table.oid)
    if (this.#tables.size === 1) return
    for (const { oid } of (await this.#session.query(RELATIVES_SQL, [table.oid])).rows as { oid: number }[]) this.#own.add(oid)
  }

  /** The scope of these policies of the table that was read. */
  scopeOf(policies: readonly PolicyTree[]): PolicyScope {
    return this.#scopeOf(policies, new Set())
  }

  #scopeOf(policies: readonly PolicyTree[], seen: Set<number>): PolicyScope {
    let scope: PolicyScope = 'row'
    for (const { tree } of policies) {
      if (tree === null) continue
      const use = this.#uses.get(tree)
      if (use === null || use === undefined || this.#tooDeep) return 'opaque'
      if (use.session) scope = 'analysed'
      if (use.operators.size > 0) return 'opaque'
      for (const oid of use.functions) {
        const facts = this.#functions.get(oid)
        const reads = facts === undefined ? 'opaque' : functionScope(facts)
        if (reads === 'opaque') return 'opaque'
        if (reads === 'analysed') scope = 'analysed'
      }
      for (const table of use.tables) {
        scope = 'analysed'
        if (this.#own.has(table)) return 'opaque'
        if (seen.has(table)) continue
        seen.add(table)
        if (this.#scopeOf(this.#tables.get(table) ?? [], seen) === 'opaque') return 'opaque'
      }
    }
    return scope
  }

  async #visit({ oid, rowSecurity, policies }: TableRow, depth: number): Promise<void> {
    this.#tables.set(oid, rowSecurity ? policies : [])
    if (!rowSecurity) return
    const next = new Set<number>()
    for (const { tree } of policies) {
      if (tree === null) continue
      const use = expressionUse(tree)
      this.#uses.set(tree, use)
      if (use === null) {
        this.#all = true
        continue
      }
      await this.#loadFunctions(use)
      for (const table of use.tables) if (!this.#tables.has(table)) next.add(table)
    }
    if (next.size === 0) return
    if (depth === MAX_DEPTH) {
      this.#all = true
      this.#tooDeep = true
      return
    }
    for (const table of await tableRows(this.#session, [...next], [])) await this.#visit(table, depth + 1)
  }

  async #loadFunctions(use: ExpressionUse): Promise<void> {
    const { functions, keys } = use
    const found = await this.#functionsOf(use)
    if (found.length < functions.size) this.#all = true
    for (const facts of found) {
      this.#functions.set(facts.oid, facts)
      const claims = claimsReadBy(facts) ?? (answersAllClaims(facts) ? keys.get(facts.oid) : undefined)
      if (claims === undefined) this.#all = true
      else for (const claim of claims) this.#claims.add(claim)
    }
  }
}

const FUNCTIONS_SQL = `
select p.oid::int8::float8 as oid, p.provolatile as volatility, l.lanname as language, p.prosrc as source,
  p.pronargs as "argumentCount", p.proargnames as "argumentNames", p.prorettype::int8::float8 as "resultType",
  p.prosecdef or p.proconfig is not null or to_jsonb(p)->'prosqlbody' <> 'null' as special
from pg_catalog.pg_proc p join pg_catalog.pg_language l on l.oid = p.prolang
where p.oid = any($1::oid[]) or p.oid in (select oprcode from pg_catalog.pg_operator where oid = any($2::oid[]))`

const RELATIVES_SQL = `
with recursive above (oid) as (
  select $1::oid union select i.inhparent from above a join pg_catalog.pg_inherits i on i.inhrelid = a.oid
), family (oid) as (
  select oid from above union select i.inhrelid from family f join pg_catalog.pg_inherits i on i.inhparent = f.oid
)
select oid::int8::float8 as oid from family`
