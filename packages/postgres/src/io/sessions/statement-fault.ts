import pg from 'pg'

/** Postgres refused the statement; the session is as good as before. */
export function isStatementFault(error: unknown): error is pg.DatabaseError {
  return error instanceof pg.DatabaseError && !/^(08|53|57P|58)/.test(error.code ?? '08')
}
