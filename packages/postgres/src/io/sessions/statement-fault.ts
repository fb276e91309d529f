import pg from 'pg'

/**
 * Postgres refused the statement, and the session is as good as before: the one rule for all pools. After anything else (a lost
 * connection, an aborted transaction, a server without resources) the session is not used again.
 */
export function isStatementFault(error: unknown): error is pg.DatabaseError {
  return error instanceof pg.DatabaseError && !/^(08|25|53|57P|58)/.test(error.code ?? '08')
}
