import pg from 'pg'
import { isRaised } from '../../catalog/database-fault.ts'

/**
 * Postgres refused the statement, and the session is as good as before: the one rule for all pools. After anything else (a lost
 * connection, an aborted transaction, a server that stops) the session is not used again.
 */
export function isStatementFault(error: unknown): error is pg.DatabaseError {
  return error instanceof pg.DatabaseError && !(isRaised(error) ? /^25P/ : /^(08|25|53|57P|58)/).test(error.code ?? '08')
}
