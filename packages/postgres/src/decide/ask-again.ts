import { isUnreachable } from '../catalog/database-fault.ts'

/** The table has another policy version than was loaded: it is loaded again, and everything is asked again. */
export class StalePolicyVersion extends Error {
  readonly oid: number

  constructor(oid: number) {
    super('the policies of a table have changed')
    this.oid = oid
  }
}

/** Transactions that wrote the changes and are not visible to other sessions yet. */
export class NotYetVisible extends Error {
  /** The SQLSTATE of a server that is not ready. `isUnreachable` reads it, so the question is asked again. */
  readonly code = '57P03'
  readonly xids: ReadonlySet<number>

  constructor(xids: readonly number[]) {
    super('a transaction that was committed is not visible yet')
    this.xids = new Set(xids)
  }
}

/** Whether all that is being decided has to be asked again. */
export function concernsAll(error: unknown): boolean {
  return error instanceof StalePolicyVersion || isUnreachable(error)
}
