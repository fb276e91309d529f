/**
 * Whether the database could not be reached, or lacks what it needs to answer anything: the only faults that are retried for
 * as long as they last. SQLSTATE classes 08 and 57P0x, 53 (no connection, memory or disk is left), errors of sockets and DNS,
 * and our own time-outs while connecting. Everything else is a fault of a row, a table or a subscription, and would fail again.
 */
export function isUnreachable(error: unknown): boolean {
  const { code, message } = error as { readonly code?: unknown; readonly message?: unknown }
  if (typeof code === 'string') return /^(08...|57P0.|53...|E[A-Z]{3,}|pool-timeout)$/.test(code)
  return typeof message === 'string' && PG_MESSAGES.test(message)
}

/** `pg` has no code for a connection that ended or took too long. */
const PG_MESSAGES =
  /^(Connection terminated|timeout expired|timeout exceeded|Query read timeout|Client has encountered a connection error|Client was closed|Connection ended)/

/** SQLSTATE 57014: the statement took longer than it may. */
export function isTimeout(error: unknown): boolean {
  return (error as { readonly code?: unknown }).code === '57014'
}

/** For logs. Never holds a row: Postgres puts values into `detail`, which is left out. */
export function errorText(error: unknown): string {
  const { code, message } = error as { readonly code?: unknown; readonly message?: unknown }
  const text = typeof message === 'string' ? message : String(error)
  return typeof code === 'string' ? `${code}: ${text}` : text
}
